"""One driven session: what comes in is taken up at once, turns are taken one by one, and the end is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from assay.app.hear import hear
from assay.app.messages.announce import announce
from assay.app.messages.result import failure_object
from assay.core.errors import AssayError, UsageError
from assay.core.events import ContextAdded
from assay.core.messages import Json, Text
from assay.core.policy import OPERATOR, Approver
from assay.core.spawn import Wake
from assay.surfaces.host.approver import PATIENCE, HostApprover
from assay.surfaces.host.channel import Channel
from assay.surfaces.host.controls import Controls
from assay.surfaces.host.lines import Frame, LineReader, read_line
from assay.surfaces.host.pipes import Sink, Source, complain
from assay.surfaces.host.prompts import Prompt, Queue, read_prompt
from assay.surfaces.host.wanted import Wanted

if TYPE_CHECKING:
    from assay.app.flags import Parsed
    from assay.app.task import Task, Wish

_GONE = "the host closed the stream"
_STUCK = 2.0
"""Seconds that a write may wait for the host once a signal has come."""
_IDLE = 60.0
"""Seconds after a turn in which nobody says anything, and hooks are told so, when nobody says otherwise."""
_ANSWERS = 60.0
"""Seconds that a host's program may take to answer when nobody says otherwise."""


class Session:
    """Implements `app.host.Host`: it is the program that drives us, as the task sees it."""

    def __init__(self, parsed: Parsed, wish: Wish) -> None:
        environ = wish.environ
        patience = _seconds(environ.get("ASSAY_HOST_PATIENCE"))
        self.queue = Queue()
        self.state = "idle"
        self._wish = replace(wish, host=self)
        self._wanted = Wanted(parsed, environ)
        self._sink = Sink(self._unheard)
        self._channel = Channel(self._sink.send, patience or _ANSWERS)
        asks = wish.prompt_tool == "stdio"
        self._approver = HostApprover(self._channel, lambda: self._task, self._asking, patience or PATIENCE)
        self._asked = asks
        self._task: Task | None = None
        self._controls = Controls(self)
        self._lines = LineReader()
        self._first: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()
        self._early: list[Frame] = []
        self._requests: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._idle = _seconds(environ.get("ASSAY_HOST_IDLE")) or _IDLE
        self._alone = False
        """A turn has ended, and hooks were not told yet that nobody goes on."""
        self._idling: asyncio.Task[None] | None = None
        self._eof = self._turning = False
        self._end: int | None = None
        """The exit code, once it is settled that there is no further turn."""
        self._code = 0
        self.offered: Frame = {}

    # --- the Host that the task sees ----------------------------------------------------------------------------------

    @property
    def approver(self) -> Approver | None:
        return self._approver if self._asked else None

    async def hook(self, callback: str, data: Frame, call: str | None, seconds: float | None = None) -> Frame:
        request: Frame = {"subtype": "hook_callback", "callback_id": callback, "input": data, "tool_use_id": call}
        return await self._channel.ask(request, seconds)

    async def mcp(self, server: str, message: Frame, seconds: float | None = None) -> Frame:
        request: Frame = {"subtype": "mcp_message", "server_name": server, "message": message}
        answer = (await self._channel.ask(request, seconds)).get("mcp_response")
        return cast(Frame, answer) if isinstance(answer, dict) else {}

    @property
    def task(self) -> Task:
        assert self._task is not None, "requests are answered once the task is there"
        return self._task

    # --- the whole ----------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """From the first line to the end; returns the exit code. Raises `AssayError` when there can be no session."""
        from assay.app.compose import open_task

        Source(self._take).start()
        self._catch_signals()
        first = await self._first
        if first is None:
            return self._end or 0
        request = first.get("request")
        if first.get("type") == "control_request" and isinstance(request, dict):
            told = cast(Frame, request)
            self.offered = told if told.get("subtype") == "initialize" else {}
        async with AsyncExitStack() as stack:
            task = await stack.enter_async_context(open_task(self._wish))
            for notice in task.notices:
                complain(f"assay: {notice}")
            self._adopt(task)
            for frame in self._early:
                self._frame(frame)
            self._early.clear()
            await self._turns()
            await self._settle_requests()
            if self._idling:
                self._idling.cancel()
        return self._code if self._end is None else self._end

    def _adopt(self, task: Task) -> None:
        self._task = task
        task.messages.hosted = True
        task.messages.partial = self._wanted.partial
        if self._wish.mirror and task.transcript:
            task.transcript.mirror = self._mirror
        task.messages.subscribe(lambda frame: self._wanted.pass_on(frame, self.offered, self._sink.send))

    def _mirror(self, path: str, lines: list[Frame]) -> None:
        entries = cast("list[Json]", lines)
        self._sink.send({"type": "transcript_mirror", "filePath": path, "entries": entries})

    async def _turns(self) -> None:
        while (prompt := await self._next()) is not None:
            self._tell("running")
            try:
                await self._turn(prompt)
            except AssayError as error:
                self._failed(error)
                if error.outcome == "storage":
                    self._end = 1
            if not self._busy:
                self._tell("idle")
                self._alone = self.task.hooks is not None and self.task.hooks.listens("Notification")

    async def _next(self) -> Prompt | None:
        """The next prompt; None when there will be none."""
        while self._end is None:
            if self.queue:
                return self.queue.take()
            self._news.clear()
            waits = [asyncio.ensure_future(self._wake()), asyncio.ensure_future(self._heard())]
            patience = self._idle if self._alone and not self._eof else None
            done, _ = await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                # What waits has taken nothing yet, so nothing is lost by giving it up.
                wait.cancel()
            await asyncio.wait(waits)
            if not done:
                self._tell_idle()
            if not waits[0].cancelled():
                wake = waits[0].result()
                if wake is not None:
                    return Prompt((Text(wake.prompt),), "", wake.origin, verbatim=True, label=wake.label)
                if self._eof and not self.queue:
                    return None
        return None

    def _tell_idle(self) -> None:
        """For hooks; what they do keeps no prompt waiting."""
        self._alone = False
        if hooked := self.task.run.hooked:
            told = hooked.notify("idle_prompt", "nobody has said anything since the turn ended")
            self._idling = asyncio.ensure_future(told)

    async def _wake(self) -> Wake | None:
        """What has ended in the background and is for the model to know. At the end of input, None when nothing more
        is worth waiting for."""
        if self._eof:
            return await self.task.next_wake()
        if self.task.tasks:
            return await self.task.tasks.woken()
        return await asyncio.get_running_loop().create_future()

    async def _heard(self) -> None:
        await self._news.wait()

    @property
    def _busy(self) -> bool:
        tasks = self.task.tasks
        return bool(self.queue) or (tasks is not None and tasks.pending)

    # --- one turn -----------------------------------------------------------------------------------------------------

    async def _turn(self, prompt: Prompt) -> None:
        task = self.task
        if not prompt.asks:
            text = "\n".join(part.text for part in prompt.parts if isinstance(part, Text))
            task.run.record(ContextAdded("host", text, label=prompt.label or OPERATOR))
            return
        self._turning = True
        try:
            heard = await hear(task, prompt.parts, prompt.origin, verbatim=prompt.verbatim)
            if heard.result is not None:
                self._done(heard.result)
                return
            announce(task)
            with heard.during(task):
                ended = await task.say(heard.parts, uuid=prompt.uuid, origin=prompt.origin or None, label=prompt.label)
        finally:
            self._turning = False
        self._done(task.conclude(ended))

    def _done(self, result: Frame) -> None:
        self._code = 1 if result.get("is_error") else 0

    def _failed(self, error: AssayError) -> None:
        """A turn that could not even begin, or whose end could not be written down, has a result, too."""
        result = failure_object(error, 0.0) | {"session_id": self.task.session}
        result["subtype"] = "error_during_execution"
        self._sink.send(result)
        self._code = 1

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        try:
            if data:
                for line in self._lines.feed(data):
                    self._frame(read_line(line))
                return
            self._last_words()
        except UsageError as error:
            complain(f"error: {error}")
            self._stop(1)

    def _last_words(self) -> None:
        """Standard input is at its end. A last line without a line feed counts if it is whole."""
        if tail := self._lines.take():
            try:
                self._frame(read_line(tail))
            except UsageError:
                complain("assay: standard input ended in the middle of a line, which is left out")
        self._eof = True
        self._channel.close(_GONE)
        if not self._first.done():
            self._first.set_result(None)
        self._news.set()

    def _frame(self, frame: Frame) -> None:
        kind = frame.get("type")
        if kind == "control_response":
            self._channel.answer(frame.get("response"))
            return
        if self._task is None:
            if kind in ("control_request", "user"):
                self._early.append(frame)
                if not self._first.done():
                    self._first.set_result(frame)
            return
        match kind:
            case "user":
                self._said(frame)
            case "control_request":
                self._asked_for(frame)
            case "control_cancel_request":
                if request := self._requests.get(str(frame.get("request_id"))):
                    request.cancel()
            case _:
                pass

    def _said(self, frame: Frame) -> None:
        try:
            self.queue.put(read_prompt(frame))
        except UsageError as error:
            self._failed(error)
        self._news.set()

    def _asked_for(self, frame: Frame) -> None:
        name, request = frame.get("request_id"), frame.get("request")
        if not isinstance(name, str) or not isinstance(request, dict):
            return
        self._requests[name] = work = asyncio.ensure_future(self._respond(name, cast(Frame, request)))
        work.add_done_callback(lambda _: self._requests.pop(name, None))

    async def _respond(self, name: str, request: Frame) -> None:
        response: Frame
        try:
            response = {"subtype": "success", "request_id": name, "response": await self._controls.answer(request)}
        except AssayError as error:
            response = {"subtype": "error", "request_id": name, "error": str(error)}
        except Exception as error:  # noqa: BLE001 - a defect in one request must not end the session
            response = {"subtype": "error", "request_id": name, "error": f"{type(error).__name__}: {error}"}
        frame: Frame = {"type": "control_response", "response": response}
        if request.get("subtype") == "initialize":
            more: Frame = {"pending_permission_requests": [], "pending_user_dialog_requests": []}
            frame["response"] = {**response, **more}
        self._sink.send(frame)

    async def _settle_requests(self) -> None:
        """Requests that are still being answered get a moment."""
        if self._requests:
            await asyncio.wait([*self._requests.values()], timeout=2.0)

    # --- states and ends ----------------------------------------------------------------------------------------------

    def _tell(self, state: str) -> None:
        if state != self.state:
            self.state = state
            if self._wanted.states:
                more: dict[str, Json] = {"sdk_host_only": True} if self._wanted.hidden_states else {}
                self.task.messages.system("session_state_changed", state=state, **more)

    def _asking(self, waits: bool) -> None:
        self._tell("requires_action" if waits else "running")

    def interrupt(self) -> None:
        """End the turn that is under way, if there is one."""
        if self._turning:
            self.task.run.interrupt()

    def end(self) -> None:
        """No further turn; the one under way is finished."""
        self._eof = True
        self._news.set()

    def _stop(self, code: int) -> None:
        """End now, with `code`: the turn is interrupted, and nothing that waits is begun."""
        if self._end is None:
            self._end = code
        self._channel.close("the session ends")
        if not self._first.done():
            self._first.set_result(None)
        self.interrupt()
        self._news.set()

    def _unheard(self) -> None:
        """Nobody reads what we say."""
        asyncio.get_running_loop().call_soon(self._stop, self._code)

    def _catch_signals(self) -> None:
        """The first signal ends the session in order; a second one, and one to which a host that reads no more leaves
        no other way, at once."""
        loop = asyncio.get_running_loop()

        def leave(code: int) -> None:
            if self._task:
                self._task.run.parts.workspace.kill()
            os._exit(code)

        def caught(number: int, _frame: object) -> None:
            if self._end is not None:
                leave(128 + number)
            if stuck := self._sink.writing:
                late = threading.Timer(_STUCK, lambda: self._sink.writing == stuck and leave(128 + number))
                late.daemon = True
                late.start()
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._stop, 128 + number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, caught)


def _seconds(text: str | None) -> float | None:
    """A number of seconds in a variable; None when it is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < 1e9 else None
