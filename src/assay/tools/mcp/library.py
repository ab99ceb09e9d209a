"""Connections through the `mcp` library: stdio, streamable HTTP and the older SSE.

The library negotiates, correlates and withdraws; what it hands on is read here as plain JSON, so that one malformed
tool does not cost the whole list. It takes more than half a second of processor time to import, which happens only when
a server is configured, and off the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, cast

from assay._version import __version__
from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.tools.mcp.peer import CHATTER, Disconnected, Facts, Heard, NeedsAuth, Progress, ServerError, facts_of
from assay.tools.mcp.peer import root_cause as _root_cause

if TYPE_CHECKING:
    from mcp.client.session import ClientSession, IncomingMessage
    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.dispatcher import CallOptions
    from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
    from mcp.shared.message import SessionMessage
    from mcp.shared.transport_context import TransportContext

    Streams = tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]

INSTALL = "the mcp library is not installed; install it with: pip install 'assay[mcp]'"
_CLOSED = -32000
_CLOSING = 3.0
"""Seconds that a connection has to close in order."""
_WANTED = frozenset({
    "notifications/progress", "notifications/cancelled", "notifications/tools/list_changed",
    "notifications/resources/list_changed", "notifications/prompts/list_changed",
})  # fmt: skip


async def load_library() -> None:
    """Import what the connections need. Raises `UsageError` with what to install."""

    def load() -> None:
        import importlib
        import logging

        for name in ("client.session", "client.sse", "client.streamable_http", "shared.jsonrpc_dispatcher"):
            importlib.import_module(f"mcp.{name}")
        # It logs what servers do wrong, to standard error when nobody listens; we tell it in our own words.
        logger = logging.getLogger("mcp")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
            logger.propagate = False

    try:
        await asyncio.to_thread(load)
    except ImportError as error:
        raise UsageError(INSTALL) from error


class LibraryPeer:
    """A `Peer` over streams of the library. `transport` makes them; `end` says why they ended, when it knows; `kill`
    ends what runs behind them."""

    def __init__(
        self,
        transport: Callable[[], AbstractAsyncContextManager[Streams]],
        heard: Heard,
        *,
        root: str = "",
        end: Callable[[], str] = str,
        kill: Callable[[], None] = lambda: None,
        locked: Callable[[], bool] = lambda: False,
    ):
        self._transport = transport
        self._heard = heard
        self._root = root
        self._end = end
        self._locked = locked
        self.kill = kill
        self.ended = asyncio.Event()
        self._closing = asyncio.Event()
        self._failure = ""
        self._version = ""
        self._dispatcher: JSONRPCDispatcher[TransportContext] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def why(self) -> str:
        return self._failure or self._end() or "the connection ended"

    async def open(self) -> Facts:
        await load_library()
        ready: asyncio.Future[Facts] = asyncio.get_running_loop().create_future()
        # The library's scopes must be left by the task that entered them, so each connection has its own.
        self._task = asyncio.create_task(self._keep(ready))
        try:
            return await ready
        except asyncio.CancelledError:
            await self.aclose()
            raise

    async def _keep(self, ready: asyncio.Future[Facts]) -> None:
        try:
            async with self._transport() as (incoming, outgoing):
                from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher

                dispatcher: JSONRPCDispatcher[TransportContext] = JSONRPCDispatcher(
                    Guarded(incoming, self._over), outgoing
                )
                self._dispatcher = dispatcher
                async with self._session(dispatcher) as session:
                    result = await session.initialize()
                    self._version = result.protocol_version
                    if not ready.done():
                        ready.set_result(facts_of(result.model_dump(by_alias=True, mode="json", exclude_none=True)))
                    await self._closing.wait()
        except BaseException as error:
            cause = _root_cause(error)
            if not self._failure and not isinstance(cause, asyncio.CancelledError):
                self._failure = self._said(cause)
            if isinstance(error, asyncio.CancelledError):
                raise
            if not isinstance(error, Exception):
                raise
        finally:
            self.ended.set()
            if not ready.done():
                trouble = NeedsAuth if self._locked() else ServerError
                ready.set_exception(trouble(self.why))
                ready.exception()  # it may be that nobody waits any more

    def _session(self, dispatcher: JSONRPCDispatcher[TransportContext]) -> ClientSession:
        from mcp.client.session import ClientRequestContext, ClientSession
        from mcp_types import Implementation, ListRootsResult, Root
        from pydantic import FileUrl

        async def roots(context: ClientRequestContext) -> ListRootsResult:
            del context
            return ListRootsResult(roots=[Root(uri=FileUrl(f"file://{self._root}"))] if self._root else [])

        return ClientSession(
            dispatcher=dispatcher,
            message_handler=self._notified,
            list_roots_callback=roots,
            client_info=Implementation(name="assay", version=__version__),
        )

    async def _notified(self, message: IncomingMessage) -> None:
        if not isinstance(message, Exception):
            self._heard(message.method, {})

    def _over(self, why: str) -> None:
        self._failure = self._failure or why
        self._closing.set()
        self.ended.set()

    def _said(self, error: BaseException) -> str:
        from mcp.shared.exceptions import MCPError

        if isinstance(error, MCPError):
            return error.message if error.code != _CLOSED else (self._end() or error.message)
        return str(error) or type(error).__name__

    async def request(self, method: str, params: dict[str, Json], progress: Progress | None = None) -> dict[str, Json]:
        import anyio
        from mcp.shared.exceptions import MCPError

        if self._dispatcher is None or self.ended.is_set():
            raise Disconnected(self.why)
        options: CallOptions = {"headers": {"mcp-protocol-version": self._version}}
        if progress:
            told = progress

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                told(progress, total, message or "")

            options["on_progress"] = on_progress
        try:
            return cast("dict[str, Json]", await self._dispatcher.send_raw_request(method, params or None, options))
        except MCPError as error:
            if self._locked():
                raise NeedsAuth("it wants a login") from error
            gone = error.code == _CLOSED and (self._closing.is_set() or self.ended.is_set())
            if gone or error.message in ("Session terminated", "Connection closed"):
                self._over("")
                raise Disconnected(self._said(error)) from error
            raise ServerError(self._said(error), error.code) from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, RuntimeError) as error:
            raise Disconnected(self.why) from error

    async def aclose(self) -> None:
        self._closing.set()
        if self._task is None:
            return
        # While it is still being opened nothing in there waits for the word to close.
        patience = _CLOSING if self._version else 0
        done, _ = await asyncio.wait([self._task], timeout=patience)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CLOSING)
            self.kill()
        if self._task.done() and not self._task.cancelled():
            with contextlib.suppress(Exception):
                self._task.exception()


class Guarded:
    """A stream of messages that tells when it ends, drops what nobody listens to, and ends one that floods."""

    def __init__(self, stream: ReadStream[SessionMessage | Exception], over: Callable[[str], None]):
        self._stream = stream
        self._over = over
        self._chatter = 0

    async def receive(self) -> SessionMessage | Exception:
        from mcp_types import JSONRPCNotification, JSONRPCRequest

        while True:
            try:
                item = await self._stream.receive()
            except Exception:
                self._over("")
                raise
            message = None if isinstance(item, Exception) else item.message
            if message is not None and not isinstance(message, (JSONRPCNotification, JSONRPCRequest)):
                self._chatter = 0
                return item
            self._chatter += 1
            if self._chatter > CHATTER:
                self._over(f"it floods: more than {CHATTER:,} messages that nobody asked for")
                await self._stream.aclose()
                continue
            if not self._chatter % 64:
                await asyncio.sleep(0)
            if isinstance(message, JSONRPCRequest) or (message is not None and message.method in _WANTED):
                return item

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Guarded:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        import anyio

        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Guarded:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)
