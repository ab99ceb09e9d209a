"""From programs without an event loop: the same functions, waited for.

There is one bridge instead of a second set of methods: an event loop in a thread of its own, so that it also works
where a loop runs already (a notebook). Ctrl-C ends the turn in order and then is raised.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import TypeVar, cast

from assay.core.errors import UsageError
from assay.sdk.live import GRACE
from assay.sdk.messages import Message, ResultMessage
from assay.sdk.options import Options

Result = TypeVar("Result")
Item = TypeVar("Item")
_END = object()


def run_sync(
    prompt: str,
    options: Options | None = None,
    *,
    on_message: Callable[[Message], None] | None = None,
    **fields: object,
) -> ResultMessage:
    """Carry out one task and wait for its result. `fields` are those of `Options`, for short calls; `on_message` sees
    what happens meanwhile, in another thread. Raises as `query` does."""
    chosen = replace(options or Options(), **fields)
    with Bridge() as bridge:
        return bridge(_last(prompt, chosen, on_message))


async def _last(prompt: str, options: Options, on_message: Callable[[Message], None] | None) -> ResultMessage:
    from contextlib import aclosing

    from assay.sdk.client import query

    result: ResultMessage | None = None
    async with aclosing(query(prompt=prompt, options=options)) as messages:
        async for message in messages:
            if on_message:
                on_message(message)
            result = message if isinstance(message, ResultMessage) else result
    if result is None:
        raise UsageError("the session ended without a result")
    return result


class Bridge:
    """An event loop in a thread, while the `with` block lasts.

    with Bridge() as wait:
        client = Client()
        wait(client.connect())
        wait(client.query("What is here?"))
        for message in wait.each(client.receive_response()):
            ...
        wait(client.disconnect())
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="assay-bridge", daemon=True)
        self._pid = os.getpid()

    def __enter__(self) -> Bridge:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid != os.getpid():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(3 * GRACE)

    def __call__(self, work: Awaitable[Result]) -> Result:
        """Wait for `work`; returns or raises what it does. Interrupted by Ctrl-C, it is cancelled, and what it has to
        tidy up is tidied up first."""
        future, task = self._start(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(lambda: [each.cancel() for each in task])
            future.exception(2 * GRACE) if not future.cancelled() else None
            raise

    def each(self, items: AsyncIterable[Item]) -> Iterator[Item]:
        """The items, one after the other. Leaving the loop early closes their generator."""
        source = aiter(items)
        try:
            while (item := self(_next(source))) is not _END:
                yield cast("Item", item)
        finally:
            if (close := getattr(source, "aclose", None)) is not None:
                self(cast("Awaitable[None]", close()))

    def _start(self, work: Awaitable[Result]) -> tuple[Future[Result], list[asyncio.Task[None]]]:
        """`work` begun over there: what it comes to, and its task once there is one."""
        if self._pid != os.getpid() or not self._thread.is_alive():
            if isinstance(work, Coroutine):
                work.close()
            raise UsageError("the bridge is not open here: use it in a `with` block, and one of its own after a fork")
        future: Future[Result] = Future()
        tasks: list[asyncio.Task[None]] = []

        async def carry() -> None:
            try:
                future.set_result(await work)
            except asyncio.CancelledError:
                future.set_exception(KeyboardInterrupt())
                raise
            except BaseException as error:  # noqa: BLE001 - belongs to the thread that waits
                future.set_exception(error)

        self._loop.call_soon_threadsafe(lambda: tasks.append(self._loop.create_task(carry())))
        return future, tasks

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=2 * GRACE))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(cast("Coroutine[None, None, None]", self._loop.shutdown_default_executor()))
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()


async def _next(source: object) -> object:
    return await anext(cast("AsyncIterable[object]", source).__aiter__(), _END)
