"""One open connection to a server, whichever way it was opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from msgspec import Struct

from assay.core.errors import AssayError
from assay.core.messages import Json
from assay.tools.bound import one_line

PROTOCOL = "2025-11-25"
"""The revision of the protocol that is offered (modelcontextprotocol.io/specification)."""
MESSAGE = 16_000_000
"""Bytes of one message that are read at most."""
CHATTER = 10_000
"""Messages that nobody asked for, between two answers, after which a server counts as flooding."""

Progress = Callable[[float, float | None, str], None]
"""How far a call is: done, of how much if that is known, and words."""
Heard = Callable[[str, Mapping[str, Json]], None]
"""Takes a notification of the server: method and parameters. Must not block."""


class ServerError(AssayError):
    """A server that said no, said nonsense, or said nothing in time."""

    def __init__(self, message: str, code: int = 0):
        super().__init__(one_line(message, 400))
        self.code = code


class Disconnected(ServerError):
    """The connection is gone."""


class NeedsAuth(ServerError):
    """The server wants a login first."""


class Facts(Struct, frozen=True):
    """What a server said of itself when the connection was opened."""

    name: str = ""
    version: str = ""
    instructions: str = ""
    tools: bool = False
    resources: bool = False
    prompts: bool = False


class Peer(Protocol):
    """Contract: `open` once, then any number of requests side by side; a request that is cancelled is withdrawn at the
    server (`notifications/cancelled`). Time-outs are the caller's."""

    async def open(self) -> Facts:
        """Raises `ServerError`."""
        ...

    async def request(self, method: str, params: dict[str, Json], progress: Progress | None = None) -> dict[str, Json]:
        """The result. Raises `ServerError` with what the server said, `Disconnected` when it is gone."""
        ...

    @property
    def ended(self) -> asyncio.Event:
        """Set once the connection is gone."""
        ...

    @property
    def why(self) -> str:
        """Why it is gone, in one line."""
        ...

    async def aclose(self) -> None:
        """Bounded; processes of the server are gone when it returns."""
        ...

    def kill(self) -> None:
        """End processes of the server at once, for a signal handler."""
        ...


def facts_of(result: Mapping[str, Json]) -> Facts:
    """What an answer to `initialize` tells, read leniently."""
    info, can = table(result.get("serverInfo")), table(result.get("capabilities"))
    return Facts(
        one_line(words(info.get("name")), 100),
        one_line(words(info.get("version")), 40),
        words(result.get("instructions")),
        "tools" in can,
        "resources" in can,
        "prompts" in can,
    )


def table(value: Json) -> dict[str, Json]:
    """`value` if it is an object, else an empty one."""
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def rows(value: Json) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []


def words(value: Json) -> str:
    return value if isinstance(value, str) else ""


def root_cause(error: BaseException) -> BaseException:
    """The first real error within groups of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
