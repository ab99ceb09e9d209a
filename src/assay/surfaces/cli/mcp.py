"""`assay mcp`: servers of tools."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from assay.app.flags import Flag, Parsed, describe, parse
from assay.app.mcp_admin import config_file, known_servers, log_in, login_of, looked_at, put_server, take_server
from assay.app.paths import Paths, find_paths
from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.surfaces.cli.terminal import ascii_json, is_live, one_line, write_err, write_out

if TYPE_CHECKING:
    from assay.tools.mcp.config import ServerConfig
    from assay.tools.mcp.server import Server

FLAGS = (
    Flag("--scope", "choice", "add, remove: where it stands (user)", "-s", choices=("user", "project")),
    Flag("--transport", "choice", "add: how it is reached (stdio)", "-t", choices=("stdio", "http", "sse")),
    Flag("--env", "repeat", "add: a variable for the server's process; may be repeated", "-e", value="NAME=VALUE"),
    Flag("--header", "repeat", "add: a header for each request; may be repeated", "-H", value="NAME:VALUE"),
    Flag("--callback-port", "int", "login: the port on this machine that the browser comes back to", value="N"),
    Flag("--no-browser", "switch", "login: only print the address"),
    Flag("--json", "switch", "list, get: as JSON"),
    Flag("--help", "switch", "print this", "-h"),
)
USAGE = """usage: assay mcp list [--json]
       assay mcp get NAME [--json]
       assay mcp add NAME [OPTIONS] -- COMMAND [ARGUMENT...]
       assay mcp add NAME -t http URL
       assay mcp add-json NAME JSON
       assay mcp remove NAME
       assay mcp login NAME
       assay mcp logout NAME
"""


def run_mcp(arguments: list[str]) -> int:
    """Carry out `assay mcp ...`; returns the exit code."""
    parsed = parse(arguments, FLAGS)
    if parsed.on("help") or not parsed.words:
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0 if parsed.on("help") else 2
    paths = find_paths(os.environ)
    match parsed.words:
        case ["list"]:
            return _list(paths, as_json=parsed.on("json"))
        case ["get", name]:
            return _get(paths, name, as_json=parsed.on("json"))
        case ["add", name, *rest] if rest:
            return _put(paths, parsed, name, _entry(parsed, rest))
        case ["add-json", name, text]:
            return _put(paths, parsed, name, _read_json(text))
        case ["remove", name]:
            return _remove(paths, parsed, name)
        case ["login", name]:
            return _login(paths, parsed, name)
        case ["logout", name]:
            forgotten = login_of(_known(paths, name), paths).forget()
            write_out(f"{name}: {'logged out' if forgotten else 'there was no login'}\n")
            return 0
        case _:
            raise UsageError(
                f"assay mcp does not understand '{one_line(' '.join(parsed.words), 120)}'; see assay mcp --help"
            )


def _list(paths: Paths, *, as_json: bool) -> int:
    configs, notices = known_servers(paths, Path.cwd(), os.environ)
    for notice in notices:
        write_err(f"! {one_line(notice, 600)}")
    servers = asyncio.run(looked_at(configs, paths, Path.cwd(), os.environ))
    if as_json:
        write_out(ascii_json(msgspec.json.encode([server.row() for server in servers]).decode()) + "\n")
        return 0
    if not servers:
        write_out("no MCP servers; add one with: assay mcp add NAME -- COMMAND\n")
    for server in servers:
        error = f"  {one_line(server.error, 160)}" if server.error else f"  {len(server.tools)} tools"
        where = one_line(_where(server.config), 60)
        write_out(f"{server.name:<20} {server.config.scope:<8} {server.status:<10} {where}{error}\n")
    return 0


def _get(paths: Paths, name: str, *, as_json: bool) -> int:
    server = asyncio.run(looked_at([_known(paths, name)], paths, Path.cwd(), os.environ))[0]
    if as_json:
        write_out(ascii_json(msgspec.json.encode(server.row()).decode()) + "\n")
        return 0
    for line in _lines(server):
        write_out(f"{line}\n")
    return 0


def _lines(server: Server) -> list[str]:
    lines = [f"{server.name}: {server.status}", f"scope: {server.config.scope}", f"where: {_where(server.config)}"]
    if server.facts.name:
        lines.append(f"server: {server.facts.name} {server.facts.version}")
    if server.error:
        lines.append(f"why: {one_line(server.error, 300)}")
    return lines + [f"  {tool.name}  {one_line(tool.description, 300)}" for tool in server.tools]


def _where(config: ServerConfig) -> str:
    return config.url or " ".join([config.command, *config.args]) or config.kind


def _known(paths: Paths, name: str) -> ServerConfig:
    configs, _ = known_servers(paths, Path.cwd(), os.environ)
    found = next((config for config in configs if config.name == name), None)
    if found is None:
        there = ", ".join(config.name for config in configs) or "none"
        raise UsageError(f"there is no MCP server '{one_line(name, 60)}'; there are: {there}")
    return found


def _entry(parsed: Parsed, rest: list[str]) -> dict[str, Json]:
    kind = parsed.text("transport") or "stdio"
    env = _pairs(parsed.many("env"), "=", "--env NAME=VALUE")
    headers = _pairs(parsed.many("header"), ":", "--header NAME:VALUE")
    if kind == "stdio":
        entry: dict[str, Json] = {"type": "stdio", "command": rest[0], "args": rest[1:]}
        return {**entry, "env": env} if env else entry
    if len(rest) > 1:
        raise UsageError(f"a server over {kind} has one URL; got '{one_line(rest[1], 60)}' as well")
    return {"type": kind, "url": rest[0], **({"headers": headers} if headers else {})}


def _pairs(given: list[str], sign: str, shape: str) -> dict[str, str]:
    pairs = [text.partition(sign) for text in given]
    if any(not name.strip() or not found for name, found, _ in pairs):
        raise UsageError(f"expected {shape}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _read_json(text: str) -> dict[str, Json]:
    try:
        return msgspec.json.decode(text, type=dict[str, Json])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(f"that is not a JSON object: {error}") from None


def _put(paths: Paths, parsed: Parsed, name: str, entry: dict[str, Json]) -> int:
    file = config_file(parsed.text("scope") or "user", paths, Path.cwd())
    replaced = put_server(file, name, entry)
    write_out(f"{'replaced' if replaced else 'added'} {name} in {file}\n")
    if parsed.text("scope") == "project":
        write_err(f"! it starts once its content is trusted: add '{name}' to enabledMcpjsonServers in {paths.settings}")
    return 0


def _remove(paths: Paths, parsed: Parsed, name: str) -> int:
    scopes = [scope] if (scope := parsed.text("scope")) else ["user", "project"]
    for scope in scopes:
        file = config_file(scope, paths, Path.cwd())
        if take_server(file, name):
            write_out(f"removed {name} from {file}\n")
            return 0
    raise UsageError(f"there is no MCP server '{one_line(name, 60)}' in {' or '.join(scopes)} settings")


def _login(paths: Paths, parsed: Parsed, name: str) -> int:
    config = _known(paths, name)
    if config.held:
        raise UsageError(f"MCP server {name}: {config.held}")

    async def show(url: str) -> None:
        write_err(f"open this address to log in:\n{url}")
        if is_live(sys.stderr) and not parsed.on("no_browser"):
            import webbrowser

            await asyncio.to_thread(webbrowser.open, url)

    said = asyncio.run(log_in(config, paths, show, parsed.whole("callback_port") or 0))
    write_out(f"logged in to {name} ({one_line(said, 100)})\n")
    return 0
