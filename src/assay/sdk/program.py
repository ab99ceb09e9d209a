"""The program itself as the host that drives a task: what it offers, and how its callbacks are called.

The same seam as that of a program behind a pipe (`app.host.Host`), without the pipe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import cast

from assay.app.host import HostGone, Table
from assay.core.messages import Json
from assay.core.policy import Approver
from assay.sdk.hooks import HookCallback
from assay.sdk.options import Options

HOOK_SECONDS = 600.0
_PLAIN = {"continue_": "continue", "async_": "async"}
"""Keys of an answer that Python can't have as they are."""


class ProgramHost:
    """Implements `app.host.Host`."""

    def __init__(self, options: Options, approver: Approver | None) -> None:
        self.approver = approver
        self._callbacks: dict[str, HookCallback] = {}
        self.offered: Table = {}
        if options.hooks:
            self.offered["hooks"] = {event: self._groups(event, options) for event in options.hooks}
        if options.agents:
            self.offered["agents"] = {name: agent.to_dict() for name, agent in options.agents.items()}

    async def hook(self, callback: str, data: Table, call: str | None, seconds: float | None = None) -> Table:
        function = self._callbacks.get(callback)
        if function is None:
            raise HostGone(f"there is no hook {callback}")
        try:
            async with asyncio.timeout(seconds or HOOK_SECONDS):
                said = await function(data, call, {"signal": None})
        except TimeoutError:
            raise HostGone(f"hook {callback} did not answer within {seconds or HOOK_SECONDS:g} s") from None
        except Exception as error:
            raise HostGone(f"hook {callback} failed: {type(error).__name__}: {error}") from error
        return {_PLAIN.get(key, key): value for key, value in table_of(said).items()}

    async def mcp(self, server: str, message: Table, seconds: float | None = None) -> Table:
        del message, seconds
        raise HostGone(f"there is no server {server} in this program")

    def _groups(self, event: str, options: Options) -> list[Json]:
        groups: list[Json] = []
        for number, matcher in enumerate((options.hooks or {})[event]):
            names: list[Json] = []
            for function in matcher.hooks:
                name = f"{event}[{number}].{_name(function)}"
                while name in self._callbacks:
                    name += "'"
                self._callbacks[name] = function
                names.append(name)
            group: Table = {"matcher": matcher.matcher, "hookCallbackIds": names}
            if matcher.timeout is not None:
                group["timeout"] = matcher.timeout
            if matcher.on_failure is not None:
                group["onFailure"] = matcher.on_failure
            groups.append(group)
        return groups


def table_of(value: object) -> Table:
    """An answer as a dict; None is no opinion."""
    if value is None:
        return {}
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return {**cast("Table", value)}


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", type(function).__name__)
