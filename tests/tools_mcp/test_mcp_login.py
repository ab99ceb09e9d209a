"""Logins: a server that wants one, a person who logs in, a token that is kept, bound to its server, forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from assay.app.mcp_admin import log_in, login_of
from assay.app.paths import Paths
from assay.core.errors import AssayError, UsageError
from assay.tools.mcp.config import ServerConfig, read_server
from assay.tools.mcp.open import opener
from assay.tools.mcp.server import Server

from .kit import QUICK


class Guardian:
    """An MCP server over HTTP and its authorization server, in one; answers only who has a token."""

    def __init__(self) -> None:
        self.url = ""
        self.tokens: set[str] = set()
        self.seen: list[str] = []
        self.grants: list[str] = []
        self.big = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := (await reader.readline()).decode():
                method, target, _ = line.split(" ", 2)
                headers: dict[str, str] = {}
                while (row := (await reader.readline()).decode().strip()) != "":
                    name, _, value = row.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.seen.append(f"{method} {urlsplit(target).path}")
                status, extra, answer = self.answer(method, urlsplit(target).path, headers, body)
                data = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
                head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
                writer.write(f"{head}{extra}\r\n".encode() + data)
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, object]:
        base = self.url
        if path.startswith("/.well-known/oauth-protected-resource"):
            return 200, "", {"resource": f"{base}/mcp", "authorization_servers": [base]}
        if path.startswith("/.well-known/"):
            return (
                200,
                "",
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "registration_endpoint": f"{base}/register",
                    "response_types_supported": ["code"],
                    "code_challenge_methods_supported": ["S256"],
                    "token_endpoint_auth_methods_supported": ["none"],
                },
            )
        if path == "/register":
            return 201, "", {**json.loads(body), "client_id": "client-1"}
        if path == "/token":
            asked = {key: values[0] for key, values in parse_qs(body.decode()).items()}
            self.grants.append(asked["grant_type"])
            if asked["grant_type"] == "authorization_code" and asked["code"] != "good":
                return 400, "", {"error": "invalid_grant"}
            self.tokens = {f"token-{len(self.grants)}"}
            return (
                200,
                "",
                {
                    "access_token": next(iter(self.tokens)),
                    "token_type": "Bearer",
                    "expires_in": 3600,
                    "refresh_token": "again",
                },
            )
        if path != "/mcp":
            return 404, "", {}
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            place = f"{base}/.well-known/oauth-protected-resource/mcp"
            return 401, f'WWW-Authenticate: Bearer resource_metadata="{place}"\r\n', {}
        if method != "POST":
            return 405, "", {}
        return self.speak(json.loads(body))

    def speak(self, message: dict) -> tuple[int, str, object]:
        if "id" not in message:
            return 202, "", b""
        if message["method"] == "initialize":
            info = {"name": "guarded", "version": "3"}
            result: object = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
        elif message["method"] == "tools/list":
            result = {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}
        else:
            result = {"content": [{"type": "text", "text": "x" * (20_000_000 if self.big else 1)}]}
        return 200, "", {"jsonrpc": "2.0", "id": message["id"], "result": result}


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[Guardian, ServerConfig]]:
    guardian = Guardian()
    server = await asyncio.start_server(guardian.serve, "127.0.0.1", 0)
    guardian.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield guardian, read_server("guarded", {"type": "http", "url": f"{guardian.url}/mcp"}, "user", {})
    finally:
        server.close()


@asynccontextmanager
async def connected(config: ServerConfig, paths: Paths) -> AsyncIterator[Server]:
    server = Server(config, opener({}, "/tmp", None, paths.state / "mcp/logins"), QUICK, lambda s: None, lambda s: None)
    server.start()
    await server.settled()
    try:
        yield server
    finally:
        await server.stop()


async def visit(url: str, **changed: str) -> str:
    """What a browser does once the person has said yes."""
    asked = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    back = urlsplit(asked["redirect_uri"])
    given = {"code": "good", "state": asked["state"], **changed}
    query = "&".join(f"{key}={value}" for key, value in given.items() if value)
    reader, writer = await asyncio.open_connection(back.hostname, back.port)
    writer.write(f"GET {changed.get('path') or back.path}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    page = (await reader.read()).decode()
    writer.close()
    return page


async def test_login_is_wanted_made_kept_and_forgotten(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "c", tmp_path / "s", tmp_path / "d")
    pages: list[str] = []

    async def person(url: str) -> None:
        pages.append(await visit(url, path="/elsewhere"))
        pages.append(await visit(url))

    async with guarded() as (guardian, config), asyncio.timeout(120):
        async with connected(config, paths) as server:
            assert server.status == "needs-auth"
            assert "assay mcp login guarded" in server.error
        assert await log_in(config, paths, person) == "guarded 3"
        assert "404" in pages[0]
        assert "close this window" in pages[1]
        (file,) = (tmp_path / "s/mcp/logins").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        async with connected(config, paths) as server:
            assert server.status == "connected", server.error
            # The token runs out on the other side; it is renewed or a new login is wanted, nobody hangs.
            guardian.tokens = {"another"}
            with pytest.raises(AssayError):
                await server.ask("tools/call", {"name": "t", "arguments": {}})
            assert server.status in ("needs-auth", "failed")
        moved = ServerConfig("guarded", "http", url=f"{guardian.url}/mcp/")
        assert not login_of(moved, paths).known
        assert login_of(config, paths).forget()
        assert not login_of(config, paths).forget()
        async with connected(config, paths) as server:
            assert server.status == "needs-auth"


@pytest.mark.parametrize("changed", [{"code": "bad"}, {"state": "other"}, {"error": "access_denied", "code": ""}])
async def test_login_that_goes_wrong(tmp_path: Path, changed: dict[str, str]) -> None:
    paths = Paths(tmp_path / "c", tmp_path / "s", tmp_path / "d")

    async def person(url: str) -> None:
        await visit(url, **changed)

    async with guarded() as (_, config), asyncio.timeout(120):
        with pytest.raises(AssayError):
            await log_in(config, paths, person)
        async with connected(config, paths) as server:
            assert server.status == "needs-auth"


async def test_answer_over_http_is_bounded(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "c", tmp_path / "s", tmp_path / "d")
    async with guarded() as (guardian, config), asyncio.timeout(120):
        guardian.tokens = {""}
        guardian.big = True
        async with connected(config, paths) as server:
            assert server.status == "connected", server.error
            with pytest.raises(AssayError, match="16 MB"):
                await server.ask("tools/call", {"name": "t", "arguments": {}})
            assert server.status == "connected"


def test_only_servers_over_http_have_logins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stdio"):
        login_of(ServerConfig("a", "stdio"), Paths(tmp_path, tmp_path, tmp_path))
