"""A gateway on loopback, before a scripted model that speaks any dialect."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from msgspec import Struct

from assay.app.config import Settings
from assay.app.paths import Paths
from assay.core.model import Profile
from assay.models.client import HttpModel
from assay.models.endpoint import Endpoint
from assay.models.retry import RetryPolicy
from assay.surfaces.gateway.main import Wanted, make_gateway
from assay.testing.server import Fault, Reply, ScriptedServer, SeenRequest, serve_in_thread

DIALECTS = ("anthropic", "openai-chat", "openai-responses")
TOKEN = "the-token"


class Running(Struct):
    url: str
    upstream: ScriptedServer

    def model(self, dialect: str, token: str = TOKEN, **facts: object) -> HttpModel:
        """A client of ours, that takes the gateway for its provider."""
        profile = Profile("gateway/any", "any", dialect, **facts)
        endpoint = Endpoint(f"{self.url}/v1", "gateway", token)
        return HttpModel(profile, endpoint, policy=RetryPolicy(requests=1))


@asynccontextmanager
async def running(
    folder: Path, script: Sequence[Reply] | Callable[[SeenRequest], Reply], dialect: str, faults: Sequence[Fault] = ()
) -> AsyncIterator[Running]:
    with serve_in_thread(script, faults) as upstream:
        wanted = Wanted({"HOME": str(folder)}, f"{upstream.url}/v1", None, dialect)
        paths = Paths(folder, folder, folder)
        gateway = make_gateway(wanted, Settings(), paths, ["any"], {TOKEN: "default", "other-token": "other"})
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(gateway, log_level="error", lifespan="off", ws="none", http="h11")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}", upstream)
        finally:
            server.should_exit = server.force_exit = True
            await asyncio.wait([serving], timeout=20)
            listening.close()
            await gateway.aclose()


@pytest.fixture(params=DIALECTS)
def behind(request: pytest.FixtureRequest) -> str:
    """The dialect of the provider."""
    return request.param


@pytest.fixture(params=DIALECTS)
def before(request: pytest.FixtureRequest) -> str:
    """The dialect of the client."""
    return request.param
