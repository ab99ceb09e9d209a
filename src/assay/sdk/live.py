"""One task alive in this process: opened, driven and taken apart by one asyncio task of its own.

Everything that belongs to it is gone when `close` returns, and also when the loop is closed or the program forks
without asking: processes of the workspace are ended by whoever started them, and by nobody else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from assay.app.hear import hear
from assay.app.host import Wake
from assay.app.messages.announce import announce
from assay.app.task import Task, Wish
from assay.core.errors import AssayError, UsageError
from assay.core.messages import Image, Json, Text
from assay.core.policy import Label
from assay.core.store import Record
from assay.run.bus import Seen
from assay.sdk.equip import Equipment
from assay.sdk.messages import (
    EventMessage,
    HookEventMessage,
    Message,
    MirrorErrorMessage,
    ResultMessage,
    message_of,
)
from assay.sdk.options import Options
from assay.sdk.schema import convert, name_of

GRACE = 20.0
"""Seconds that an interrupted turn has for an orderly end before it is cancelled."""
Result = TypeVar("Result")


class Prompt(Struct, frozen=True):
    """What opens a turn."""

    parts: tuple[Text | Image, ...]
    uuid: str = ""
    origin: dict[str, Json] = {}
    label: Label | None = None
    """How far its words count; from how they look when None."""


class _Job(Struct):
    """What the task is asked to do between turns."""

    work: Callable[[], Awaitable[object]]
    done: asyncio.Future[object]


class Live:
    """Contract: `open` first; then prompts are carried out one after the other, in the order in which they came, and
    each is answered by exactly one `ResultMessage` in `messages`; `close` at last, which never takes longer than
    `GRACE` twice over and may be called twice."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.wish: Wish = options.wish()
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._orders: asyncio.Queue[Prompt | _Job | None] = asyncio.Queue()
        self._out: asyncio.Queue[Message | BaseException | None] = asyncio.Queue()
        self._opened: asyncio.Future[Task] = self._loop.create_future()
        self._driver: asyncio.Task[None] | None = None
        self._closed = False
        self._busy = False
        self._finishing = False
        self._receipt = ""
        self._stopped = False
        self._wake: Prompt | None = None
        """Came in the same moment as an order, which goes first."""
        self.equipment = Equipment(options)

    async def open(self) -> Task:
        """Assemble the task. Raises `AssayError` for what cannot be had."""
        self._driver = asyncio.create_task(self._drive(), name="assay")
        try:
            await asyncio.wait([self._driver, self._opened], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._driver.cancel()
            await self.close()
            raise
        if not self._opened.done():
            self._opened.cancel()
            await self._driver
            raise UsageError("the session was closed while it was opened")
        return self._opened.result()

    @property
    def task(self) -> Task:
        """Raises `UsageError` when it is not open, and in a process that did not open it."""
        if self._pid != os.getpid():
            raise UsageError(f"this session belongs to process {self._pid}; open one of its own after a fork")
        if self._closed or not self._opened.done():
            raise UsageError("the session is not open: call connect(), or use `async with`")
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("this session belongs to another event loop; open it in the one that uses it")
        return self._opened.result()

    def prompt(self, prompt: Prompt) -> None:
        """Carry `prompt` out after those before it."""
        assert self.task
        self._orders.put_nowait(prompt)

    async def between_turns(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` when no turn is under way; raises what it raises."""
        assert self.task
        done: asyncio.Future[object] = self._loop.create_future()
        self._orders.put_nowait(_Job(work, done))
        return await done  # type: ignore[return-value]  # of `work`

    def finish(self) -> None:
        """No more prompts: the session ends by itself once those before are answered."""
        if not self._closed:
            self._orders.put_nowait(None)

    def fail(self, error: Exception) -> None:
        """Whoever receives messages is to get `error`."""
        self._out.put_nowait(error)

    def interrupt(self) -> None:
        """End the turn that is under way, in order; its result says `interrupted`. Without one, nothing happens."""
        if self._busy:
            self.task.run.interrupt()

    async def messages(self) -> AsyncIterator[Message]:
        """What happens, as it happens, until the session is closed. Raises what ended it, if it ended by itself."""
        while (message := await self._out.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            yield message

    async def close(self) -> None:
        """Interrupt what is under way, end what runs, write what must be kept."""
        if self._pid != os.getpid() or self._driver is None:
            return
        if not self._closed:
            self._closed = True
            self._orders.put_nowait(None)
            if self._busy and self._opened.done():
                self._opened.result().run.interrupt()
        for _ in range(2):
            _, running = await asyncio.wait([self._driver], timeout=GRACE)
            if not running:
                break
            self._driver.cancel()
        if self._driver.done() and not self._driver.cancelled():
            self._driver.exception()  # told already, in `messages` or by `open`

    # --- the driver ---------------------------------------------------------------------------------------------------

    async def _drive(self) -> None:
        from assay.app.compose import open_task

        try:
            self.wish = await self.equipment.before(self.wish)
            async with open_task(self.wish) as task:
                try:
                    await self.equipment.put_on(task)
                    await self._serve(task)
                except GeneratorExit:
                    # The loop was closed under us, and nothing can be waited for any more. In a child that a fork made
                    # these processes are its parent's.
                    if os.getpid() == self._pid:
                        task.run.parts.workspace.kill()
                    raise
        except Exception as error:
            if self._opened.done():
                self._out.put_nowait(error)
                return
            raise
        finally:
            self._closed = True
            while not self._orders.empty():
                if isinstance(order := self._orders.get_nowait(), _Job):
                    order.done.cancel()
            self._out.put_nowait(None)

    async def _serve(self, task: Task) -> None:
        messages = task.messages
        messages.partial = self.options.include_partial_messages
        messages.subscribe(self._heard)

        def seen(what: Seen) -> None:
            if isinstance(what, Record):
                self._out.put_nowait(EventMessage(what.event, what.number, what.time, task.session))

        if self.options.events:
            task.run.bus.subscribe(seen)
        for notice in task.notices:
            if self.options.stderr:
                self.options.stderr(notice)
        self._opened.set_result(task)
        while (order := await self._next(task)) is not None:
            if isinstance(order, _Job):
                await _settle(order)
            else:
                await self._turn(task, order)
        await self.equipment.flush()

    async def _next(self, task: Task) -> Prompt | _Job | None:
        """What to do next: what the program wants, else what the background wakes the session for. With nothing more to
        come from the program, None as soon as nothing can wake it."""
        if not self._finishing:
            order = await self._order(task)
            if order is not None or self._closed:
                return order
            self._finishing = True
        if not self._orders.empty():
            return self._orders.get_nowait()
        if self._closed or self._stopped:
            return None
        wake = await task.next_wake()
        return _prompt(wake) if wake else None

    async def _order(self, task: Task) -> Prompt | _Job | None:
        """The next order, or a wake-up that comes before it."""
        if self._wake is not None:
            wake, self._wake = self._wake, None
            return wake
        if task.tasks is None or not self._orders.empty():
            return await self._orders.get()
        ordered = asyncio.create_task(self._orders.get())
        woken = asyncio.create_task(task.tasks.woken())
        try:
            await asyncio.wait((ordered, woken), return_when=asyncio.FIRST_COMPLETED)
            wake = _prompt(woken.result()) if woken.done() else None
            if not ordered.done():
                return wake
            self._wake = wake
            return ordered.result()
        finally:
            for waiting in (ordered, woken):
                waiting.cancel()
            await asyncio.wait((ordered, woken))

    async def _turn(self, task: Task, prompt: Prompt) -> None:
        if self._closed:
            return
        self._busy = True
        try:
            heard = await hear(task, prompt.parts, prompt.origin, verbatim=prompt.label is not None)
            if heard.result is not None:
                return
            announce(task)
            with heard.during(task):
                ended = await task.say(heard.parts, uuid=prompt.uuid, origin=prompt.origin or None, label=prompt.label)
        finally:
            self._busy = False
        for key, error in await self.equipment.flush():
            data: dict[str, Json] = {"type": "system", "subtype": "mirror_error", "key": dict(key), "error": error}
            self._out.put_nowait(MirrorErrorMessage("mirror_error", data, dict(key), error))
        self._receipt, self._stopped = task.run.receipt, ended.verdict.outcome == "interrupted"
        task.conclude(ended)

    def _heard(self, frame: dict[str, Json]) -> None:
        """One message of the session, on its way to the program."""
        if frame.get("isReplay") is True or (message := message_of(frame)) is None:
            return
        if isinstance(message, ResultMessage):
            message.receipt = self._receipt
            if self.options.output is not None and message.structured_output is not None:
                self._decode(message)
        elif isinstance(message, HookEventMessage) and not self.options.include_hook_events:
            return
        self._out.put_nowait(message)

    def _decode(self, result: ResultMessage) -> None:
        try:
            result.structured_output = convert(result.structured_output, self.options.output)
        except AssayError as error:
            result.is_error, result.structured_output = True, None
            result.errors = [*(result.errors or []), f"the answer is no {name_of(self.options.output)}: {error}"]


def _prompt(wake: Wake) -> Prompt:
    return Prompt((Text(wake.prompt),), origin=wake.origin, label=wake.label)


async def _settle(job: _Job) -> None:
    try:
        value = await job.work()
    except asyncio.CancelledError:
        job.done.cancel()
        raise
    except Exception as error:  # noqa: BLE001 - belongs to whoever asked
        if not job.done.done():
            job.done.set_exception(error)
        return
    if not job.done.done():
        job.done.set_result(value)
