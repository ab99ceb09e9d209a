"""What a person does about MCP servers: write them into settings or the project's file, look at them, log in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assay.app.config import load_settings, parse_sources
from assay.app.jsonfile import read_object, write_object
from assay.app.mcp import PROJECT_FILE, configured
from assay.app.paths import Paths
from assay.app.task import Wish
from assay.core.errors import UsageError
from assay.core.messages import Json

if TYPE_CHECKING:
    from assay.tools.mcp.config import ServerConfig
    from assay.tools.mcp.oauth import Login
    from assay.tools.mcp.server import Server

SCOPES = ("user", "project")


def config_file(scope: str, paths: Paths, directory: Path) -> Path:
    """Where servers of `scope` stand. Raises `UsageError`."""
    if scope not in SCOPES:
        raise UsageError(f"--scope takes {' or '.join(SCOPES)}; got '{scope}'")
    return paths.settings if scope == "user" else directory / PROJECT_FILE


def put_server(file: Path, name: str, entry: dict[str, Json]) -> bool:
    """Write a server into `file`; all else in it stays. True when it took the place of another. Raises `UsageError`."""
    from assay.tools.mcp.config import ConfigProblem, read_server

    try:
        read_server(name, entry, "user", _AnyVariable())
    except ConfigProblem as error:
        raise UsageError(f"MCP server '{name}': {error}") from None
    whole, servers = _read(file)
    replaced = name in servers
    _write(file, {**whole, "mcpServers": {**servers, name: entry}})
    return replaced


def take_server(file: Path, name: str) -> bool:
    """Remove a server from `file`; False when there is none of that name. Raises `UsageError`."""
    if not file.is_file():
        return False
    whole, servers = _read(file)
    if name not in servers:
        return False
    _write(file, {**whole, "mcpServers": {key: value for key, value in servers.items() if key != name}})
    return True


class _AnyVariable(dict[str, str]):
    """Variables are looked up when the server starts, not when it is written down."""

    def get(self, key: str, default: object = None) -> str:
        del key, default
        return "http://x"


def _read(file: Path) -> tuple[dict[str, Json], dict[str, Json]]:
    whole = read_object(file)
    servers = whole.get("mcpServers", {})
    if not isinstance(servers, dict):
        raise UsageError(f"{file}: mcpServers is not an object; mend it first")
    return whole, cast("dict[str, Json]", servers)


def _write(file: Path, whole: dict[str, Json]) -> None:
    """What may hold a key can be read by its owner only, unless it is the project's."""
    write_object(file, whole, 0o644 if file.name == PROJECT_FILE else 0o600)


def known_servers(paths: Paths, directory: Path, environ: Mapping[str, str]) -> tuple[list[ServerConfig], list[str]]:
    """The servers that a session here would have, and lines about entries that are none."""
    settings, notices = load_settings(paths.settings, directory, parse_sources(None))
    configs, problems = configured(Wish(directory, dict(environ)), settings, paths)
    return configs, [*notices, *problems]


async def looked_at(
    configs: list[ServerConfig], paths: Paths, directory: Path, environ: Mapping[str, str]
) -> list[Server]:
    """Connect to all that may start, side by side, and close again; what each had to say stays in it."""
    from assay.tools.mcp.open import opener
    from assay.tools.mcp.server import Server, read_limits

    state = paths.state / "mcp"
    opens, limits = opener(environ, str(directory), state / "logs", state / "logins"), read_limits(environ)
    servers = [Server(config, opens, limits, lambda server: None, lambda text: None) for config in configs]  # noqa: ARG005

    async def look(server: Server) -> None:
        if server.config.held or server.config.kind == "sdk":
            return
        server.start()
        await server.settled()
        status, error, tools = server.status, server.error, server.tools
        await server.stop(status, error)
        server.tools = tools

    await asyncio.gather(*(look(server) for server in servers))
    return servers


def login_of(config: ServerConfig, paths: Paths) -> Login:
    """The stored login of a server. Raises `UsageError` for one that has none because it is no server over HTTP."""
    from assay.tools.mcp.oauth import Login

    if config.kind not in ("http", "sse"):
        raise UsageError(f"MCP server {config.name} is of type {config.kind}; only those over HTTP have logins")
    return Login(paths.state / "mcp" / "logins", config.name, config.url)


async def log_in(config: ServerConfig, paths: Paths, show: Callable[[str], Awaitable[None]], port: int = 0) -> str:
    """Let a person log in; `show` is given the address to go to. Returns what the server calls itself. Raises
    `AssayError`."""
    login = login_of(config, paths)
    from assay.tools.mcp.library import LibraryPeer, load_library

    await load_library()
    from assay.tools.mcp.http import HttpLink
    from assay.tools.mcp.oauth import WAIT, Person

    login.forget()
    async with Person(show, port) as person:
        link = HttpLink(config, login, person)
        peer = LibraryPeer(link.streams, lambda method, params: None, locked=lambda: link.locked)  # noqa: ARG005
        try:
            async with asyncio.timeout(WAIT + 60):
                facts = await peer.open()
        except TimeoutError:
            raise UsageError(f"MCP server {config.name}: the login did not come to an end") from None
        finally:
            await peer.aclose()
    return f"{facts.name} {facts.version}".strip()
