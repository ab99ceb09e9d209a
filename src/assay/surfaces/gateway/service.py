"""The gateway as an ASGI application: who may come in, what is asked, and the reply as it is written.

Only this machine is served: the socket is a loopback one, the `Host` header has to name it (or a page of some web site
could reach us through a name that it points here), and every request needs a token.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from assay.core.errors import AssayError, AuthError, UsageError
from assay.core.messages import Failure
from assay.core.model import Finished, Model, ModelEvent, Retrying
from assay.loop.limits import request_tokens
from assay.surfaces.gateway.anthropic import Anthropic
from assay.surfaces.gateway.chat import Chat
from assay.surfaces.gateway.ledger import Ledger, Line
from assay.surfaces.gateway.pool import Memory, Pool
from assay.surfaces.gateway.responses import Responses
from assay.surfaces.gateway.shape import (
    Asked,
    Problem,
    Refused,
    Reply,
    Shape,
    Table,
    Writer,
    fresh,
    problem_of,
    text_json,
    unreadable,
)

BODY = 64 * 1024 * 1024
"""Bytes of a request."""
PATIENCE = 60.0
"""Seconds that a client may take to send its body."""

Scope = Mapping[str, object]
Receive = Callable[[], Awaitable[Mapping[str, object]]]
Send = Callable[[Mapping[str, object]], Awaitable[None]]
_SHAPES: dict[str, Shape] = {
    "/v1/messages": Anthropic(),
    "/v1/messages/count_tokens": Anthropic(),
    "/v1/chat/completions": Chat(),
    "/v1/responses": Responses(),
}


class Call(Struct, frozen=True):
    """One request of a client."""

    method: str
    path: str
    headers: dict[str, str]
    receive: Receive
    send: Send
    key: str = ""
    """The name of the token that it came with."""


class Gateway:
    """`keys`: token -> name. `names`: what GET /v1/models lists."""

    def __init__(self, pool: Pool, keys: Mapping[str, str], names: Callable[[], list[str]]) -> None:
        self.ledger = Ledger()
        self._pool = pool
        self._keys = dict(keys)
        self._names = names
        self._memory = Memory()

    async def aclose(self) -> None:
        """Close the models that are kept open."""
        await self._pool.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"])
        }
        call = Call(str(scope["method"]), str(scope["path"]).rstrip("/"), headers, receive, send)
        shape = _SHAPES.get(call.path, Anthropic() if "anthropic-version" in headers else Chat())
        try:
            await self._route(self._admitted(call, cast("tuple[str, int] | None", scope.get("server"))), shape)
        except _Told as told:
            await _respond(call, told.problem.status, shape.error(told.problem))

    def _admitted(self, call: Call, server: tuple[str, int] | None) -> Call:
        """Raises `_Told` for whoever may not come in."""
        port = server[1] if server else 0
        if call.headers.get("host", "") not in {f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]")}:
            raise _Told("permission_error", 403, "this gateway answers to 127.0.0.1 and localhost only")
        origin = call.headers.get("origin", "")
        if origin and origin.partition("://")[2] != call.headers["host"]:
            raise _Told("permission_error", 403, "this gateway does not answer to web pages")
        given = call.headers.get("x-api-key") or call.headers.get("authorization", "").partition(" ")[2]
        for token, name in self._keys.items():
            if hmac.compare_digest(given.strip().encode(), token.encode()):
                return replace(call, key=name)
        raise _Told("authentication_error", 401, "the token is missing or wrong; the gateway printed it at its start")

    async def _route(self, call: Call, shape: Shape) -> None:
        match call.method, call.path:
            case "GET", "/v1/models":
                await _respond(call, 200, _listing(self._names()))
            case "GET", path if path.startswith("/v1/models/"):
                name = path.removeprefix("/v1/models/")
                if name not in self._names():
                    raise _Told("not_found_error", 404, f"no model {name!r}; GET /v1/models lists them")
                await _respond(call, 200, _entry(name))
            case "GET", "/ledger":
                await _respond(call, 200, self.ledger.told())
            case "POST", path if path in _SHAPES:
                await self._asked(call, shape)
            case _, path if path in _SHAPES or path in ("/v1/models", "/ledger"):
                raise _Told("invalid_request_error", 405, f"{call.method} is not for {path}")
            case _:
                raise _Told("not_found_error", 404, f"there is no {call.path or '/'} here")

    async def _asked(self, call: Call, shape: Shape) -> None:
        body = await _body(call)
        try:
            asked = shape.read(body)
        except Refused as error:
            raise _Told("invalid_request_error", 400, str(error)) from None
        if call.path.endswith("/count_tokens"):
            tokens = request_tokens(asked.request) + _tokens(asked)
            await _respond(call, 200, {"input_tokens": tokens})
            return
        work = asyncio.create_task(self._answer(call, shape, asked))
        gone = asyncio.create_task(_gone(call.receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
            await asyncio.wait((work, gone))
        if not work.cancelled():
            work.result()

    async def _answer(self, call: Call, shape: Shape, asked: Asked) -> None:
        try:
            async with self._pool.model(asked.model) as model:
                line = self.ledger.line(model.profile.name, call.key)
                line.requests += 1
                try:
                    await self._say(call, shape, asked, model, line)
                except asyncio.CancelledError:
                    line.cancelled += 1
                    raise
        except AuthError as error:
            raise _Told("permission_error", 403, str(error)) from None
        except UsageError as error:
            raise _Told("not_found_error", 404, str(error)) from None
        except AssayError as error:
            raise _Told("api_error", 502, str(error)) from None

    async def _say(self, call: Call, shape: Shape, asked: Asked, model: Model, line: Line) -> None:
        profile = model.profile
        history = self._memory.restored(asked.request.messages, profile.dialect, profile.model)
        reply = Reply(fresh(""), profile.name, int(time.time()), asked.include_usage)
        stream = cast("AsyncGenerator[ModelEvent]", model.stream(replace(asked.request, messages=history)))
        async with aclosing(stream) as events:
            writer = None
            async for event in events:
                if isinstance(event, Finished):
                    line.add(event.message, profile)
                    self._memory.keep(event.message)
                    problem = problem_of(event.message.failure) if event.message.failure else unreadable(event.message)
                    if not asked.stream and not problem:
                        await _respond(call, 200, shape.whole(event.message, reply))
                        return
                    if writer is None:
                        if problem:
                            raise _Told(problem.kind, problem.status, problem.message)
                        writer = await _begin(call, shape, reply)
                    await _write(call, *(writer.fail(problem) if problem else writer.finish(event.message)), last=True)
                    return
                if isinstance(event, Retrying):
                    if writer is None:
                        continue
                    # What was written can't be taken back: the client has to ask again.
                    line.failures += 1
                    lost = problem_of(Failure("cut", f"the reply broke off: {event.reason}"))
                    await _write(call, *writer.fail(lost), last=True)
                    return
                if asked.stream:
                    writer = writer or await _begin(call, shape, reply)
                    await _write(call, *writer.piece(event))


class _Told(Exception):
    """What the client is told instead of a reply."""

    def __init__(self, kind: str, status: int, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(kind, status, message)


async def _body(call: Call) -> Table:
    """The JSON object of a request. Raises `_Told`."""
    data = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await call.receive()
                if message["type"] == "http.disconnect":
                    raise _Told("invalid_request_error", 400, "the request broke off")
                data += cast("bytes", message.get("body", b""))
                if len(data) > BODY:
                    raise _Told("request_too_large", 413, f"the request is over {BODY // 1024 // 1024} MB")
                if not message.get("more_body"):
                    break
    except TimeoutError:
        raise _Told("invalid_request_error", 408, f"the request did not come within {PATIENCE:g} s") from None
    try:
        found: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _Told("invalid_request_error", 400, f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise _Told("invalid_request_error", 400, "the body is not a JSON object")
    return cast("Table", found)


async def _gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _respond(call: Call, status: int, body: Table) -> None:
    data = text_json(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await call.send({"type": "http.response.start", "status": status, "headers": headers})
    await call.send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else data})


async def _begin(call: Call, shape: Shape, reply: Reply) -> Writer:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    writer = shape.writer(reply)
    await _write(call, *writer.start())
    return writer


async def _write(call: Call, *pieces: bytes, last: bool = False) -> None:
    data = b"".join(pieces)
    if data or last:
        await call.send({"type": "http.response.body", "body": data, "more_body": not last})


def _tokens(asked: Asked) -> int:
    """A rough size of the history."""
    from assay.core.model import estimate_tokens

    return sum(estimate_tokens(text_json(message).decode()) for message in asked.request.messages)


def _listing(names: list[str]) -> Table:
    """In the words of both vendors at once."""
    return {
        "object": "list",
        "data": [_entry(name) for name in names],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def _entry(name: str) -> Table:
    return {
        "id": name,
        "object": "model",
        "type": "model",
        "display_name": name,
        "created": 0,
        "created_at": "1970-01-01T00:00:00Z",
        "owned_by": name.partition("/")[0],
    }
