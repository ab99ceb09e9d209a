"""The scripted server: a model provider on loopback that says what a script tells it to."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

import msgspec

from assay.testing.server.anthropic import Anthropic
from assay.testing.server.chat import Chat
from assay.testing.server.choose import Chooser, Exhausted, ReplyFunction
from assay.testing.server.connection import Connection
from assay.testing.server.ledger import Conversation, Exchange, Log, conversations
from assay.testing.server.plan import Counter, Plan, Planner, json_plan, quarter
from assay.testing.server.responses import Responses
from assay.testing.server.script import Fault, Order, Reply, Script, ScriptError, as_script
from assay.testing.server.seen import Record, SeenRequest
from assay.testing.server.wire import Dialect, Problem

Scripted = Script | Reply | Sequence[Reply] | ReplyFunction


class ScriptedServer:
    """A model provider for tests: Anthropic Messages, OpenAI Chat Completions and OpenAI Responses on one port.

    `script`: a script, a reply (repeated for ever), a list of replies, or a function from the request to its reply.
    `faults` are added to the script's own. `log`: a file to append one JSON line per exchange to. `count_tokens`
    replaces the estimate of four bytes a token. Raises ScriptError for a fault that doesn't exist.

    Use: `async with ScriptedServer(script) as server:` and point the client at `server.url` (Anthropic) or
    `server.url + "/v1"` (OpenAI); any path that ends in an endpoint's name is served.
    """

    def __init__(
        self,
        script: Scripted,
        faults: Sequence[Fault] = (),
        *,
        order: Order | None = None,
        log: Path | None = None,
        count_tokens: Counter = quarter,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.exchanges: list[Exchange] = []
        self.requests: list[SeenRequest] = []
        self.errors: list[str] = []
        chosen = script if callable(script) else as_script(script)
        self._chooser = Chooser(chosen, faults, order)
        self._planner = Planner(count_tokens, time.time)
        self._count_tokens = count_tokens
        self._address = address
        self._log_path = log
        self._log: Log | None = None
        self._server: asyncio.Server | None = None
        self._peers: set[Connection] = set()
        self._advancing: dict[int, Reply] = {}
        self._ended = 0
        self._change = asyncio.Event()
        anthropic, chat, responses = Anthropic(), Chat(), Responses()
        self._dialects = MappingProxyType[str, Dialect](
            {"/messages": anthropic, "/chat/completions": chat, "/responses": responses}
        )
        self._counters = MappingProxyType[str, Dialect](
            {"/messages/count_tokens": anthropic, "/responses/input_tokens": responses}
        )

    async def __aenter__(self) -> "ScriptedServer":
        """Starts listening. Raises OSError when the port is taken or the log can't be opened."""
        if self._log_path is not None:
            self._log = Log(self._log_path)
        loop = asyncio.get_running_loop()
        host, port = self._address
        self._server = await loop.create_server(
            lambda: Connection(self._answer, self._done, self._peers), host, port, backlog=512
        )
        self._address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops listening and drops every connection."""
        assert self._server is not None
        self._server.close()
        while self._peers:
            peer = next(iter(self._peers))
            peer.drop()
            await peer.gone.wait()
        if self._log is not None:
            self._log.close()

    @property
    def url(self) -> str:
        """The base address, without a trailing slash and without `/v1`."""
        host, port = self._address
        return f"http://{host}:{port}"

    def conversations(self) -> list[Conversation]:
        """What the requests so far amount to; see `ledger.conversations`."""
        return conversations(self.requests)

    async def settled(self, count: int, timeout: float = 10.0) -> None:
        """Waits until `count` exchanges have ended. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while self._ended < count:
                self._change.clear()
                await self._change.wait()

    def _answer(self, exchange: Exchange) -> Plan:
        exchange.time = time.time()
        self.exchanges.append(exchange)
        path = exchange.path.partition("?")[0].rstrip("/")
        if exchange.method == "POST":
            for ending, dialect in self._dialects.items():
                if path.endswith(ending):
                    return self._reply(exchange, dialect)
            for ending, dialect in self._counters.items():
                if path.endswith(ending):
                    name = "response.input_tokens" if dialect.name == "openai-responses" else "message_tokens_count"
                    return json_plan(200, {"object": name, "input_tokens": self._count_tokens(exchange.raw)})
        elif path.endswith("/health") or path == "":
            return json_plan(200, {"status": "ok"})
        elif "/models" in path:
            return json_plan(200, _models(path))
        return json_plan(404, {"error": {"message": f"no such endpoint: {exchange.method} {path}"}})

    def _reply(self, exchange: Exchange, dialect: Dialect) -> Plan:
        seen = SeenRequest(len(self.requests), dialect, exchange.path, exchange.headers, exchange.raw)
        seen.arrived, seen.time = exchange.arrived, exchange.time
        exchange.seen = seen
        try:
            body = seen.body
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._refusal(dialect, f"the body is not JSON: {error}")
        if not body:
            return self._refusal(dialect, "the body is not a JSON object")
        self.requests.append(seen)
        try:
            choice = self._chooser.choose(seen)
            plan = self._planner.plan(seen, dialect, choice.reply, choice.fault)
        except (Exhausted, ScriptError) as error:
            self.errors.append(str(error))
            return self._refusal(dialect, f"scripted server: {error}")
        except Exception as error:  # noqa: BLE001  # a broken test function must reach the test, not only the log
            self.errors.append(f"{type(error).__name__}: {error}")
            return self._refusal(dialect, f"scripted server: {type(error).__name__}: {error}")
        exchange.fault = choice.fault.name if choice.fault else None
        if plan.advances:
            self._advancing[seen.index] = choice.reply
        seen.forget_body()
        return plan

    def _refusal(self, dialect: Dialect, message: str) -> Plan:
        return json_plan(400, dialect.error(Problem("invalid", 400, message)))

    def _done(self, exchange: Exchange) -> None:
        self._ended += 1
        self._change.set()
        if exchange.seen is not None:
            reply = self._advancing.pop(exchange.seen.index, None)
            if reply is not None and exchange.closed_early is None:
                self._chooser.served(reply)
        if self._log is not None:
            self._log.write(exchange)


def _models(path: str) -> Record:
    """The list of models, or one of them; the server takes any name."""
    name = path.partition("/models")[2].strip("/")
    model: Record = {
        "id": name or "scripted",
        "object": "model",
        "type": "model",
        "display_name": name or "scripted",
        "created": 0,
        "created_at": "1970-01-01T00:00:00Z",
        "owned_by": "assay.testing",
    }
    return model if name else {"object": "list", "data": [model], "has_more": False, "first_id": None, "last_id": None}


@contextlib.contextmanager
def serve_in_thread(
    script: Scripted,
    faults: Sequence[Fault] = (),
    *,
    order: Order | None = None,
    log: Path | None = None,
    count_tokens: Counter = quarter,
) -> Generator[ScriptedServer]:
    """The same server in a thread of its own, for tests that block or start other programs.

    `with serve_in_thread(script) as server:`; its lists may be read at any time. Raises what the server raises.
    """
    server = ScriptedServer(script, faults, order=order, log=log, count_tokens=count_tokens)
    ready = threading.Event()
    stops: list[Callable[[], None]] = []
    failures: list[BaseException] = []

    async def serve() -> None:
        stopped = asyncio.Event()
        async with server:
            loop = asyncio.get_running_loop()
            stops.append(lambda: loop.call_soon_threadsafe(stopped.set) and None)
            ready.set()
            await stopped.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that waits
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="scripted-server", daemon=True)
    thread.start()
    ready.wait(10)
    try:
        if failures:
            raise failures[0]
        yield server
    finally:
        for stop in stops:
            stop()
        thread.join(10)
