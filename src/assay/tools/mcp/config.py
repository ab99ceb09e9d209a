"""Which servers there are: entries of `mcpServers` objects, as people have them already."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, cast

from msgspec import Struct

from assay.core.messages import Json
from assay.tools.bound import has_hidden, one_line
from assay.tools.mcp.schema import plain_name

Kind = Literal["stdio", "http", "sse", "sdk"]
Scope = Literal["user", "project", "local", "dynamic", "sdk"]
"""Who named the server: the user's settings, the project's file, settings that travel with it, flags or a host."""

_KINDS: dict[str, Kind] = {
    "stdio": "stdio",
    "http": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "sse": "sse",
    "sdk": "sdk",
}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_LONGEST = 100


class ServerConfig(Struct, frozen=True):
    """One server, ready to be started."""

    name: str
    kind: Kind
    scope: Scope = "user"
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    url: str = ""
    headers: dict[str, str] = {}
    always_load: bool = False
    """Its tools are in every request, however many they are."""
    timeout: float | None = None
    """Seconds for one call; None for what holds for all."""
    raw: dict[str, Json] = {}
    """As it was written, variables not expanded: what may be shown."""
    held: str = ""
    """Why it must not start; empty when it may."""
    disabled: bool = False
    """The user does not want it; else it is only not trusted yet."""

    @property
    def chosen(self) -> bool:
        """The user, or the program that drives us, named it; it did not come with the repository."""
        return self.scope != "project"


class ConfigProblem(ValueError):
    """One line about an entry that can't be used."""


def read_servers(
    entries: Mapping[str, Json], scope: Scope, environ: Mapping[str, str], where: str
) -> tuple[list[ServerConfig], list[str]]:
    """The servers of an `mcpServers` object, and a line for each entry that is none."""
    found: list[ServerConfig] = []
    problems: list[str] = []
    for name, entry in entries.items():
        try:
            found.append(read_server(name, entry, scope, environ))
        except ConfigProblem as error:
            problems.append(f"{where}: MCP server '{one_line(str(name), 60)}' is left out: {error}")
    return found, problems


def read_server(name: str, entry: Json, scope: Scope, environ: Mapping[str, str]) -> ServerConfig:
    """One entry. Raises `ConfigProblem`."""
    plain = plain_name(name)
    if not 0 < len(name) <= _LONGEST or has_hidden(name) or "__" in plain or plain != plain.strip("_"):
        # Tools are called mcp__SERVER__TOOL, and rules must be able to tell one from the other.
        raise ConfigProblem(f"a name has 1 to {_LONGEST} letters, digits and single - or _ between them")
    if not isinstance(entry, dict):
        raise ConfigProblem("expected an object")
    raw = cast("dict[str, Json]", entry)
    said = raw.get("type") or ("http" if "url" in raw and "command" not in raw else "stdio")
    kind = _KINDS.get(said) if isinstance(said, str) else None
    if kind is None:
        raise ConfigProblem(f"type '{one_line(str(said), 40)}' is not one of stdio, http, sse, sdk")

    def text(key: str) -> str:
        value = raw.get(key, "")
        if not isinstance(value, str) or "\0" in value:
            raise ConfigProblem(f"{key} must be a string")
        return expand(value, environ)

    always, timeout = raw.get("alwaysLoad", False), raw.get("timeout")
    if timeout is not None and (not isinstance(timeout, (int, float)) or not 0 < timeout < 1e10):
        raise ConfigProblem("timeout must be a number of milliseconds")
    command, url = text("command"), text("url")
    if kind == "stdio" and not command.strip():
        raise ConfigProblem("command is missing")
    if kind in ("http", "sse") and not url.startswith(("http://", "https://")):
        raise ConfigProblem("url must begin with http:// or https://")
    return ServerConfig(
        name,
        kind,
        "sdk" if kind == "sdk" and scope == "dynamic" else scope,
        command,
        tuple(_texts(raw.get("args"), "args", lambda value: expand(value, environ))),
        _table(raw.get("env"), "env", environ),
        url,
        _table(raw.get("headers"), "headers", environ),
        always is True,
        None if timeout is None else timeout / 1000,
        raw,
    )


def expand(text: str, environ: Mapping[str, str]) -> str:
    """`text` with `${NAME}` and `${NAME:-default}` replaced. Raises `ConfigProblem` for a variable that is not set."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        known = environ.get(name) or default
        if known is None:
            raise ConfigProblem(f"the variable {name} is not set; set it, or write ${{{name}:-default}}")
        return known

    return _VARIABLE.sub(value, text)


def _texts(value: Json, key: str, change: Callable[[str], str]) -> list[str]:
    if value is None:
        return []
    items = cast("list[Json]", value) if isinstance(value, list) else [None]
    texts = [item for item in items if isinstance(item, str) and "\0" not in item]
    if len(texts) != len(items):
        raise ConfigProblem(f"{key} must be a list of strings")
    return [change(item) for item in texts]


def _table(value: Json, key: str, environ: Mapping[str, str]) -> dict[str, str]:
    if value is None:
        return {}
    fields = cast("dict[str, Json]", value) if isinstance(value, dict) else {"": None}
    texts = {name: item for name, item in fields.items() if isinstance(item, str) and "\0" not in item + name}
    if len(texts) != len(fields):
        raise ConfigProblem(f"{key} must be an object of strings")
    return {name: expand(item, environ) for name, item in texts.items()}
