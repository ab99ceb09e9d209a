"""What a host may ask of a session beside talking to it: one method for each request."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, cast

from assay.app.messages.announce import SPEAKS
from assay.app.wishes import thinking_for
from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.surfaces.host.lines import Frame

if TYPE_CHECKING:
    from assay.app.host import Servers
    from assay.app.task import Task
    from assay.surfaces.host.prompts import Queue

_TIERS = ("opus", "sonnet", "haiku")


class Driven(Protocol):
    """The session, as far as requests are about it."""

    @property
    def task(self) -> Task: ...
    @property
    def queue(self) -> Queue: ...
    @property
    def state(self) -> str: ...

    def interrupt(self) -> None: ...
    def end(self) -> None: ...


class Controls:
    def __init__(self, session: Driven) -> None:
        self._session = session
        self._initialized = False

    async def answer(self, request: Frame) -> Frame:
        """The response to `request`. Raises `AssayError` with the words of the refusal."""
        subtype = request.get("subtype")
        method = _METHODS.get(subtype) if isinstance(subtype, str) else None
        if method is None:
            raise UsageError(f"Unsupported control request subtype: {subtype}")
        return await method(self, request)

    @property
    def _task(self) -> Task:
        return self._session.task

    async def initialize(self, request: Frame) -> Frame:
        """What there is. Everything in the first request has been taken up already; a later one changes nothing."""
        task, library = self._task, self._task.library
        first, self._initialized = not self._initialized, True
        hooked = task.run.parts.hooks is not None
        return {
            "commands": list[Json](library.commands) if library else [],
            "agents": [
                {"name": kind.name, "description": kind.description, "model": kind.model or "inherit"}
                for kind in (task.outfit.kinds.values() if task.outfit else ())
            ],
            "output_style": library.style if library else "default",
            "available_output_styles": list[Json](library.styles) if library else ["default"],
            "models": self._models(),
            "account": {"apiProvider": task.profile.name.partition("/")[0]},
            "pid": os.getpid(),
            "claude_code_version": SPEAKS,
            "assay_version": task.version,
            "current_permission_mode": task.mode,
            "hooks_applied": first and (hooked or not request.get("hooks")),
            "hook_on_failure_supported": hooked,
            "session_state": self._session.state,
            "capabilities": [],
        }

    async def interrupt(self, request: Frame) -> Frame:
        del request
        self._session.interrupt()
        return {"still_queued": list[Json](self._session.queue.uuids)}

    async def cancel_async_message(self, request: Frame) -> Frame:
        return {"cancelled": self._session.queue.withdraw(_text(request, "message_uuid"))}

    async def set_permission_mode(self, request: Frame) -> Frame:
        mode = _text(request, "mode")
        self._task.set_mode("default" if mode == "manual" else mode)
        return {"mode": self._task.mode}

    async def set_model(self, request: Frame) -> Frame:
        name = request.get("model")
        chosen = self._task.set_model(name if isinstance(name, str) else None)
        return {"model": self._task.messages.name(chosen)}

    async def set_max_thinking_tokens(self, request: Frame) -> Frame:
        tokens = request.get("max_thinking_tokens")
        if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0):
            raise UsageError("max_thinking_tokens is a number of tokens, or null")
        self._task.set_thinking(None if tokens is None else thinking_for(tokens))
        return {}

    async def rewind_files(self, request: Frame) -> Frame:
        dry = request.get("dry_run") is True
        done = await self._task.rewind(_text(request, "user_message_id"), conversation=False, dry=dry)
        return {
            "canRewind": True,
            "filesChanged": list[Json](change.path for change in done.files),
            "insertions": sum(change.added for change in done.files),
            "deletions": sum(change.removed for change in done.files),
            "skippedLinks": [],
        }

    async def mcp_status(self, request: Frame) -> Frame:
        del request
        return {"mcpServers": list[Json](self._task.mcp.status()) if self._task.mcp else []}

    async def mcp_reconnect(self, request: Frame) -> Frame:
        name = _text(request, "serverName")
        await self._servers(name).reconnect(name)
        return {}

    async def mcp_toggle(self, request: Frame) -> Frame:
        name = _text(request, "serverName")
        await self._servers(name).toggle(name, request.get("enabled") is not False)
        return {}

    async def mcp_set_servers(self, request: Frame) -> Frame:
        servers = request.get("servers")
        if self._task.mcp is None or not isinstance(servers, dict):
            raise UsageError("Unsupported control request subtype: mcp_set_servers")
        return await self._task.mcp.replace(cast(Frame, servers))

    async def get_context_usage(self, request: Frame) -> Frame:
        del request
        return self._task.context_usage()

    async def stop_task(self, request: Frame) -> Frame:
        if self._task.tasks:
            await self._task.tasks.stop(_text(request, "task_id"))
        return {}

    async def background_tasks(self, request: Frame) -> Frame:
        del request
        return {"tasks": list[Json](self._task.tasks.listing()) if self._task.tasks else []}

    async def get_task_output(self, request: Frame) -> Frame:
        name = _text(request, "task_id")
        found = self._task.tasks.output(name) if self._task.tasks else None
        if found is None:
            raise UsageError(f"No task found with ID: {name}")
        return found

    async def get_settings(self, request: Frame) -> Frame:
        del request
        task = self._task
        applied: Frame = {"model": task.profile.name, "permissionMode": task.mode}
        return {"effective": applied, "sources": [], "applied": applied}

    async def list_models(self, request: Frame) -> Frame:
        del request
        return {"models": self._models()}

    async def get_session_cost(self, request: Frame) -> Frame:
        del request
        messages = self._task.messages
        return {
            "total_cost_usd": messages.whole.cost,
            "modelUsage": messages.whole.by_model_object(self._task.profile),
        }

    async def get_binary_version(self, request: Frame) -> Frame:
        del request
        return {"version": SPEAKS, "assay_version": self._task.version}

    async def end_session(self, request: Frame) -> Frame:
        del request
        self._session.end()
        return {}

    def _servers(self, name: str) -> Servers:
        if self._task.mcp is None:
            raise UsageError(f"Server not found: {name}")
        return self._task.mcp

    def _models(self) -> list[Json]:
        first = (self._task.models.first if self._task.models else self._task.run.parts.model).profile.name
        tiers = _TIERS if first.startswith("anthropic/") else ()
        default: Frame = {
            "value": "default",
            "resolvedModel": first,
            "displayName": first,
            "description": "the model of the start",
        }
        return [default, *({"value": name, "displayName": name, "description": "an alias"} for name in tiers)]


_METHODS = {
    name: cast("Callable[[Controls, Frame], Awaitable[Frame]]", method)
    for name, method in vars(Controls).items()
    if not name.startswith("_") and name != "answer" and callable(method)
}
"""A request's handler has the request's name."""


def _text(request: Frame, key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{request.get('subtype')} needs {key}, a text")
    return value
