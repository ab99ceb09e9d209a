"""What a program asks for, and how that becomes a `Wish`, which is what every surface asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from assay.app.attempts import read_attempts
from assay.app.task import Wish
from assay.core.budget import Budget
from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.core.tool import Tool
from assay.sdk.schema import Schema, schema_of

if TYPE_CHECKING:
    from assay.sdk.hooks import HookMatcher
    from assay.sdk.permissions import CanUseTool
    from assay.sdk.store import SessionStore

PermissionMode = Literal["default", "acceptEdits", "plan", "bypassPermissions", "dontAsk"]


@dataclass
class AgentDefinition:
    """A kind of sub-agent, under the name by which `Options.agents` has it."""

    description: str
    """When to use it: this, and the name, is what the model is shown."""
    prompt: str
    tools: list[str] | None = None
    disallowedTools: list[str] | None = None  # noqa: N815 - names of the field
    model: str | None = None
    skills: list[str] | None = None
    memory: Literal["user", "project", "local"] | None = None
    mcpServers: list[str | dict[str, Json]] | None = None  # noqa: N815
    initialPrompt: str | None = None  # noqa: N815
    maxTurns: int | None = None  # noqa: N815
    background: bool | None = None
    effort: str | int | None = None
    permissionMode: PermissionMode | None = None  # noqa: N815

    def to_dict(self) -> dict[str, Json]:
        """The fields that are set."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}


@dataclass
class Options:
    """Everything is optional; what is not said is for settings and then defaults to decide.

    Names are those of the field's own Python client where it has the thing; docs/sdk.md has both tables.
    """

    tools: Sequence[str | Tool | Callable[..., object]] | dict[str, Json] | None = None
    """Names of built-in tools, when not all are wanted, and tools of your own. Own tools alone leave the built-in ones
    in, and so does a preset (`{"type": "preset", ...}`)."""
    allowed_tools: list[str] = field(default_factory=list[str])
    """Rules of calls that need no leave: `Bash(git log:*)`, `Edit`, the name of a tool."""
    disallowed_tools: list[str] = field(default_factory=list[str])
    system_prompt: str | dict[str, Json] | None = None
    append_system_prompt: str = ""
    mcp_servers: dict[str, dict[str, Json]] | str | Path = field(default_factory=dict[str, dict[str, Json]])
    strict_mcp_config: bool = False
    permission_mode: PermissionMode | None = None
    continue_conversation: bool = False
    resume: str | None = None
    session_id: str | None = None
    fork_session: bool = False
    max_turns: int | None = None
    max_budget_usd: float | None = None
    max_tokens_total: int | None = None
    """Sent and received together."""
    max_seconds: float | None = None
    checks: list[str] = field(default_factory=list[str])
    """Shell lines that must pass at the end; each is a criterion, and the outcome says how they fared."""
    model: str | None = None
    """PROVIDER/NAME or an alias."""
    fallback_model: str | list[str] | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    dialect: str | None = None
    directory: str | Path | None = None
    """The project; the current directory unless said."""
    cwd: str | Path | None = None
    """The same, by its other name."""
    add_dirs: list[str | Path] = field(default_factory=list[str | Path])
    env: dict[str, str] = field(default_factory=dict[str, str])
    """Added to the environment of this process."""
    settings: str | None = None
    setting_sources: list[Literal["user", "project", "local"]] | None = None
    can_use_tool: CanUseTool | None = None
    hooks: dict[str, list[HookMatcher]] | None = None
    agents: dict[str, AgentDefinition] | None = None
    include_partial_messages: bool = False
    include_hook_events: bool = False
    events: bool = False
    """Also yield every record of the session's log, as `EventMessage`."""
    output: object = None
    """A type: the answer must have its shape, and `ResultMessage.structured_output` is an instance of it."""
    output_format: dict[str, Json] | None = None
    """`{"type": "json_schema", "schema": {...}}`: the same from a schema; the value stays what JSON makes of it."""
    effort: Literal["low", "medium", "high", "max"] | None = None
    attempts: int | None = None
    """Attempts at a task at most, 1 to 32: a further one is made only where the evidence is against the last."""
    thinking: str | dict[str, Json] | None = None
    """off, adaptive, a number of tokens; or a dict as `{"type": "enabled", "budget_tokens": 4096}`."""
    max_thinking_tokens: int | None = None
    session_store: SessionStore | None = None
    confined: bool = True
    """False runs commands outside the sandbox, with the rights of this process."""
    stderr: Callable[[str], None] | None = None
    """Called with each notice: what the command prints on standard error before it begins."""
    enable_file_checkpointing: bool = True
    """Always so here: `Client.rewind_files` works in every session."""

    @property
    def schema(self) -> Schema | None:
        """The JSON Schema that the answer must meet."""
        if self.output is not None:
            return schema_of(self.output)
        if self.output_format is None:
            return None
        schema = self.output_format.get("schema")
        if self.output_format.get("type") != "json_schema" or not isinstance(schema, dict):
            raise UsageError('output_format: expected {"type": "json_schema", "schema": {...}}')
        return cast("Schema", schema)

    @property
    def _listed(self) -> Sequence[str | Tool | Callable[..., object]] | None:
        return None if isinstance(self.tools, dict) else self.tools

    def own_tools(self) -> list[Tool]:
        """The tools among `tools`, functions made into some."""
        from assay.sdk.tools import tool

        found: list[Tool] = []
        for each in self._listed or ():
            if isinstance(each, str):
                continue
            spec = getattr(each, "spec", None)
            found.append(cast("Tool", each) if spec is not None else tool(cast("Callable[..., object]", each)))
        return found

    def wish(self) -> Wish:
        """Raises `UsageError` for what makes no sense."""
        listed = self._listed
        names = tuple(each for each in listed or () if isinstance(each, str))
        fallback = self.fallback_model
        directory = Path(self.directory or self.cwd or ".").expanduser().resolve()
        if not directory.is_dir():
            raise UsageError(f"directory: {directory} is not a directory")
        replaced, appended = self._system()
        return Wish(
            directory=directory,
            environ={**os.environ, **self.env},
            model=self.model,
            fallback=tuple(fallback.split(",") if isinstance(fallback, str) else fallback or ()),
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            dialect=self.dialect,
            permission_mode=self.permission_mode,
            allowed=tuple(self.allowed_tools),
            disallowed=tuple(self.disallowed_tools),
            tools=names if names or (listed is not None and not listed) else None,
            budget=Budget(self.max_turns, self.max_tokens_total, self.max_budget_usd, self.max_seconds),
            system=replaced,
            append_system=appended,
            add_dirs=tuple(str(path) for path in self.add_dirs),
            settings=self.settings,
            setting_sources=None if self.setting_sources is None else ",".join(self.setting_sources),
            schema=self.schema,
            effort=self.effort,
            attempts=read_attempts(self.attempts),
            thinking=self._thinking(),
            checks=tuple(self.checks),
            no_sandbox=not self.confined,
            session_id=self.session_id or "",
            bypass_allowed=True,
            strict_mcp=self.strict_mcp_config,
            session=self.resume or ("" if self.continue_conversation else None),
            fork=self.fork_session,
        )

    def _system(self) -> tuple[str | None, str]:
        """The system text that replaces ours, and what is added to it."""
        said = self.system_prompt
        if not isinstance(said, dict):
            return said, self.append_system_prompt
        match said.get("type"):
            case "preset":
                return None, "\n\n".join(filter(None, (str(said.get("append") or ""), self.append_system_prompt)))
            case "custom":
                return str(said.get("prompt") or ""), self.append_system_prompt
            case "file":
                path = Path(str(said.get("path") or ""))
                try:
                    return path.read_text("utf-8"), self.append_system_prompt
                except (OSError, ValueError) as error:
                    raise UsageError(f"system_prompt: {path} cannot be read: {error}") from error
            case kind:
                raise UsageError(f"system_prompt: type is preset, custom or file; got {kind!r}")

    def _thinking(self) -> str | None:
        said = self.thinking
        if said is None and self.max_thinking_tokens is not None:
            return str(self.max_thinking_tokens) if self.max_thinking_tokens else "off"
        if not isinstance(said, dict):
            return said
        kind = said.get("type")
        if kind == "enabled":
            return str(said.get("budget_tokens") or self.max_thinking_tokens or 1024)
        return "off" if kind == "disabled" else str(kind)
