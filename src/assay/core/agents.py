"""Kinds of sub-agents, as files, command lines and host programs define them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from msgspec import Struct

from assay.core.errors import UsageError
from assay.core.messages import Json

AgentOrigin = Literal["managed", "host", "project", "user", "plugin", "builtin"]
"""Who defined a kind, from the first to be asked to the last: of two with one name the earlier counts. `host` is the
command line or the program that drives us."""
ORIGINS: tuple[AgentOrigin, ...] = ("managed", "host", "project", "user", "plugin", "builtin")
_TRUSTED: frozenset[AgentOrigin] = frozenset({"managed", "host", "user", "builtin"})


class AgentDefinition(Struct, frozen=True):
    """One kind of sub-agent."""

    name: str
    description: str
    """When to use it: this, and the name, is all that the parent's model is shown."""
    prompt: str = ""
    """Its own system text."""
    tools: tuple[str, ...] | None = None
    """The only tools it gets, of those that the parent has; None for all of them."""
    disallowed: tuple[str, ...] = ()
    model: str = ""
    """PROVIDER/NAME or an alias; "inherit" for the parent's; empty when nothing was said."""
    permission_mode: str = ""
    max_turns: int | None = None
    """Most requests to a model."""
    background: bool = False
    effort: str = ""
    isolation: Literal["", "worktree"] = ""
    """`worktree`: it works on a copy of the files, and its diff is handed back."""
    skills: tuple[str, ...] = ()
    """Names of skills whose text it begins with."""
    mcp_servers: tuple[str, ...] = ()
    """Names of configured servers whose tools it gets beside `tools`."""
    initial_prompt: str = ""
    """Put before what the parent asks."""
    bare: bool = False
    """Instruction files of the project are not put before it."""
    color: str = ""
    """For hosts that show one."""
    unused: tuple[str, ...] = ()
    """Fields that say something which is not applied here."""
    origin: AgentOrigin = "builtin"
    source: str = ""
    """The file it was read from."""

    @property
    def trusted(self) -> bool:
        """The user or their program wrote it, not the project that is worked on or a plugin: it may say which
        permission mode it has."""
        return self.origin in _TRUSTED


def read_agent(name: str, fields: dict[str, Json], origin: AgentOrigin, source: str = "") -> AgentDefinition:
    """A definition from the fields that front matter, `--agents` and `initialize.agents` share (`tools`,
    `disallowedTools`, `permissionMode`, ...; the body of a file goes under `prompt`). Lists may be texts with commas;
    unknown fields are passed over. Raises `UsageError` in one line that names the agent and the field."""
    name = (name or _text(name, fields, "name")).strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise UsageError(f"agent '{name[:40]}': a name of 1 to 100 printable characters is needed")
    description = " ".join(_text(name, fields, "description").split())
    if not description:
        raise UsageError(f"agent {name}: description is missing: it says when the agent is to be used")
    isolation = _text(name, fields, "isolation")
    if isolation not in ("", "worktree"):
        raise UsageError(f"agent {name}: isolation: only 'worktree' is known; got '{isolation[:40]}'")
    servers = _servers(fields.get("mcpServers"))
    own = any(not isinstance(server, str) for server in servers)
    return AgentDefinition(
        name,
        description,
        _text(name, fields, "prompt").strip(),
        _names(name, fields, "tools"),
        _names(name, fields, "disallowedTools") or (),
        _text(name, fields, "model"),
        _text(name, fields, "permissionMode"),
        _turns(name, fields),
        _switch(name, fields, "background"),
        _text(name, fields, "effort"),
        "worktree" if isolation else "",
        _names(name, fields, "skills") or (),
        tuple(server for server in servers if isinstance(server, str)),
        _text(name, fields, "initialPrompt"),
        _switch(name, fields, "omitClaudeMd"),
        _text(name, fields, "color"),
        (
            *(field for field in ("hooks", "memory") if fields.get(field)),
            *(["mcpServers with configurations"] if own else []),
        ),
        origin,
        source,
    )


def merge_agents(definitions: Iterable[AgentDefinition]) -> dict[str, AgentDefinition]:
    """By name, in the order of `ORIGINS` and then as they came; the first of a name counts."""
    kept: dict[str, AgentDefinition] = {}
    for each in sorted(definitions, key=lambda one: ORIGINS.index(one.origin)):
        kept.setdefault(each.name, each)
    return kept


def _text(name: str, fields: dict[str, Json], key: str) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"agent {name[:100]}: {key}: expected text")
    return str(value)


def _switch(name: str, fields: dict[str, Json], key: str) -> bool:
    value = fields.get(key)
    if value is None or isinstance(value, bool):
        return value is True
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise UsageError(f"agent {name}: {key}: expected true or false")


def _turns(name: str, fields: dict[str, Json]) -> int | None:
    value = fields.get("maxTurns")
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise UsageError(f"agent {name}: maxTurns: expected a whole number from 1")
    return int(text)


def _names(name: str, fields: dict[str, Json], key: str) -> tuple[str, ...] | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        value = _split(value)
    if not isinstance(value, list) or any(not isinstance(item, str) for item in cast("list[Json]", value)):
        raise UsageError(f"agent {name}: {key}: expected a list of names")
    items = tuple(item.strip() for item in cast("list[str]", value) if item.strip())
    return None if key == "tools" and "*" in items else items


def _split(text: str) -> list[str]:
    """At the commas outside parentheses: `Read, Bash(git log, git diff)` names two."""
    parts, depth, start = list[str](), 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")" and depth > 0)
        if letter == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _servers(value: Json) -> tuple[Json, ...]:
    if isinstance(value, dict):
        return tuple({key: item} for key, item in cast("dict[str, Json]", value).items())
    if isinstance(value, list):
        return tuple(cast("list[Json]", value))
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else ()
