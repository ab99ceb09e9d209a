"""Runs the hooks of an event side by side and puts together what they say.

A hook guards where its word decides about what happens next (`config.GUARDS`). One that fails there, by a crash, a
time-out or output that is no answer, refuses what it was asked about: a guard that is not at its post does not wave
through. Elsewhere a failure is a line for the person.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from assay.core.hooks import SILENT, HookAnswer, HookEvent, HookReport
from assay.core.ids import new_id
from assay.core.messages import Json
from assay.policy.hooks.config import Handler, HookTable, joined, matches
from assay.policy.hooks.process import HookProcess, Ran
from assay.policy.hooks.said import Unreadable, capped, merged, of_output, of_process, refusal

HostCall = Callable[[str, dict[str, Json], str | None, float], Awaitable[Json]]
"""A host's callback: its id, the input, the id of the call it is about, and its seconds; returns its output."""
_CALLS: frozenset[HookEvent] = frozenset({
    "PreToolUse", "PermissionRequest", "PermissionDenied", "PostToolUse", "PostToolUseFailure",
})  # fmt: skip


class HookEngine:
    """Implements `core.hooks.Hooks`.

    `table`: the hooks. `cwd`: where commands run. `environ`: what they get, besides the names of the session. `common`:
    the fields that every input has (session_id, transcript_path, permission_mode, …). `report`: is told when a hook
    begins and ends.
    """

    def __init__(
        self,
        table: HookTable,
        *,
        cwd: str,
        environ: Mapping[str, str],
        common: Callable[[], dict[str, Json]] = dict,
        report: Callable[[HookReport], None] | None = None,
    ) -> None:
        self.report = report
        self.common = common
        self._table = table
        self._cwd = cwd
        self._environ = environ
        self._host: HostCall | None = None
        self._used: set[Handler] = set()
        self._detached: set[asyncio.Task[HookAnswer]] = set()
        self._running: set[HookProcess] = set()

    def add(self, table: HookTable) -> None:
        """More hooks, behind those there are: of a skill or an agent that is now at work."""
        self._table = joined((self._table, table))

    def serve(self, table: HookTable, host: HostCall) -> None:
        """The callbacks of a host."""
        self.add(table)
        self._host = host

    def listens(self, event: HookEvent) -> bool:
        return any(group.handlers for group in self._table.get(event, ()))

    async def fire(self, event: HookEvent, subject: str, data: dict[str, Json]) -> HookAnswer:
        found = self._meant(event, subject, data)
        if not found:
            return SILENT
        given = {**self.common(), "cwd": self._cwd, "hook_event_name": event, **data}
        tasks: list[asyncio.Task[HookAnswer]] = []
        for matcher, handler in found:
            task = asyncio.create_task(self._one(event, f"{event}:{matcher}" if matcher else event, handler, given))
            if handler.detached:
                self._detached.add(task)
                task.add_done_callback(self._detached.discard)
            else:
                tasks.append(task)
        try:
            answers = await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        return merged(answers)

    async def aclose(self) -> None:
        """End the hooks that nobody waits for."""
        tasks = [*self._detached]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def kill(self) -> None:
        """End every command at once: for a signal handler."""
        for process in [*self._running]:
            process.kill()

    def _meant(self, event: HookEvent, subject: str, data: dict[str, Json]) -> list[tuple[str, Handler]]:
        """The hooks for `subject`, each once, in the order in which they are configured."""
        found: dict[Handler, str] = {}
        for group in self._table.get(event, ()):
            if not matches(group.matcher, subject):
                continue
            for handler in group.handlers:
                if handler in self._used or (event in _CALLS and not self._applies(handler, data)):
                    continue
                found.setdefault(handler, group.matcher)
        self._used |= {handler for handler in found if handler.once}
        return [(matcher, handler) for handler, matcher in found.items()]

    def _applies(self, handler: Handler, data: dict[str, Json]) -> bool:
        if not handler.condition:
            return True
        from assay.policy.hooks.condition import meets

        given = data.get("tool_input")
        arguments = cast("dict[str, Json]", given) if isinstance(given, dict) else {}
        return meets(handler.condition, str(data.get("tool_name", "")), arguments, self._cwd)

    async def _one(self, event: HookEvent, name: str, handler: Handler, given: dict[str, Json]) -> HookAnswer:
        """One hook to its answer, whatever befalls it."""
        began = HookReport(new_id(), event, name)
        self._tell(began)
        ran = Ran(0, "", "")
        try:
            if handler.kind == "unsupported":
                raise Unreadable(f"hooks of type '{handler.command}' can't be run here")
            if handler.kind == "callback":
                answer, ran = await self._called(event, handler, given)
            else:
                ran = await self._process(handler, given)
                if ran.trouble:
                    after = f" after {handler.timeout:g} s" if ran.trouble == "timed out" else ""
                    raise Unreadable(f"{ran.trouble}{after}")
                answer = SILENT if _says_async(ran) else of_process(event, ran.exit_code, ran.stdout, ran.stderr)
        except Unreadable as error:
            self._tell(_ended(began, "error", ran))
            return _failed(event, handler, str(error))
        except asyncio.CancelledError:
            self._tell(_ended(began, "cancelled", ran))
            raise
        except Exception as error:  # noqa: BLE001 - the contract: whatever a hook or its host does, this returns
            self._tell(_ended(began, "error", ran))
            return _failed(event, handler, repr(error)[:200])
        self._tell(_ended(began, "error" if ran.exit_code else "success", ran))
        return answer

    async def _called(self, event: HookEvent, handler: Handler, given: dict[str, Json]) -> tuple[HookAnswer, Ran]:
        if self._host is None:
            raise Unreadable("its host is gone")
        use = given.get("tool_use_id")
        try:
            async with asyncio.timeout(handler.timeout):
                said = await self._host(handler.command, given, use if isinstance(use, str) else None, handler.timeout)
        except TimeoutError:
            raise Unreadable(f"its host did not answer within {handler.timeout:g} s") from None
        output = json.dumps(said, default=str)
        return SILENT if _is_async(said) else of_output(event, said), Ran(0, output, "")

    async def _process(self, handler: Handler, given: dict[str, Json]) -> Ran:
        env = {name: value for name, value in self._environ.items() if not name.startswith("OTEL_")}
        session = str(given.get("session_id", ""))
        env |= {"CLAUDE_PROJECT_DIR": self._cwd, "CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": session}
        env |= {"ASSAY_PROJECT_DIR": self._cwd, "ASSAY_SESSION_ID": session}
        if handler.root:
            env |= {"CLAUDE_PLUGIN_ROOT": handler.root, "ASSAY_PLUGIN_ROOT": handler.root}
        if handler.args is None:
            argv = (_shell(), "-c", handler.command)
        else:
            argv = tuple(_expanded(word, env) for word in (handler.command, *handler.args))
        process = HookProcess(argv, env, self._cwd, json.dumps(given).encode(), handler.timeout)
        self._running.add(process)
        try:
            return await process.run()
        finally:
            self._running.discard(process)

    def _tell(self, report: HookReport) -> None:
        if self.report:
            self.report(report)


def _failed(event: HookEvent, handler: Handler, why: str) -> HookAnswer:
    named = " ".join(handler.command.split())
    named = named if len(named) <= 80 else f"{named[:79]}…"
    told = f"{event} hook `{named}` failed: {why}"
    return (
        refusal(event, f"{told}; what a guard can't look at is refused")
        if handler.closes
        else HookAnswer(messages=(told,))
    )


def _ended(began: HookReport, outcome: str, ran: Ran) -> HookReport:
    name = "success" if outcome == "success" else "cancelled" if outcome == "cancelled" else "error"
    return HookReport(
        began.hook, began.event, began.name, True, name, capped(ran.stdout), capped(ran.stderr), ran.exit_code
    )


def _says_async(ran: Ran) -> bool:
    """Whether its first line says that it goes on by itself."""
    if ran.exit_code or '"async"' not in ran.stdout[:200]:
        return False
    try:
        return _is_async(json.loads(ran.stdout.partition("\n")[0]))
    except (ValueError, RecursionError):
        return False


def _is_async(said: Json) -> bool:
    return isinstance(said, dict) and cast("dict[str, Json]", said).get("async") is True


def _shell() -> str:
    from shutil import which

    return which("bash") or "/bin/sh"


def _expanded(word: str, env: Mapping[str, str]) -> str:
    for name in ("CLAUDE_PROJECT_DIR", "CLAUDE_PLUGIN_ROOT", "ASSAY_PROJECT_DIR", "ASSAY_PLUGIN_ROOT"):
        word = word.replace(f"${{{name}}}", env.get(name, ""))
    return word
