"""From a reply and a fault to the bytes and pauses that go over the connection."""

import math
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Literal

import msgspec

from assay.testing.server.faults import CATALOGUE, problem_of
from assay.testing.server.roles import as_text, resolve
from assay.testing.server.script import Fault, Reply, Thinking, Usage
from assay.testing.server.seen import Record, SeenRequest
from assay.testing.server.spoil import broken, spoiled
from assay.testing.server.wire import Dialect, Frame, Message, WireCall, encode

Ending = Literal["keep", "close", "reset", "hang"]
Counter = Callable[[bytes], int]


class Plan(msgspec.Struct, frozen=True):
    """What goes over the connection: bytes and pauses (seconds) in order, then the ending.

    `advances`: the reply arrives as scripted, so a script in order of requests goes on.
    """

    status: int
    steps: tuple[bytes | float, ...]
    ending: Ending = "keep"
    advances: bool = False


def quarter(data: bytes) -> int:
    """The token counter used when none is given: a token is four bytes, rounded up."""
    return (len(data) + 3) // 4


def json_plan(status: int, body: Record, headers: tuple[tuple[str, str], ...] = ()) -> Plan:
    """A whole JSON response."""
    data = encode(body)
    fields = (("content-type", "application/json"), ("content-length", str(len(data))), *headers)
    return Plan(status, (_head(status, fields) + data,))


class Planner:
    """Builds the plan of each request.

    `count_tokens` takes bytes and gives tokens; it is used for usage that the script leaves open. `wall_clock` gives
    seconds since 1970.
    """

    def __init__(self, count_tokens: Counter, wall_clock: Callable[[], float]) -> None:
        self.count_tokens = count_tokens
        self._wall_clock = wall_clock

    def plan(self, seen: SeenRequest, dialect: Dialect, reply: Reply, fault: Fault | None) -> Plan:
        """The plan for a reply, spoiled by a fault if there is one. Raises ScriptError for an unknown role."""
        kind = CATALOGUE[fault.name] if fault else None
        if fault and kind and kind.family == "status":
            return self._status_plan(seen, dialect, fault)
        if fault and kind and kind.family == "connection":
            return Plan(0, (), "hang" if fault.name == "hang" else "reset")
        spoils = bool(kind and kind.spoils) or reply.aside
        message = self._message(seen, dialect, reply, spoils)
        if fault:
            message = spoiled(message, fault)
        if fault and fault.name == "error_event" and not seen.stream:
            return self._status_plan(seen, dialect, fault)
        frames = list(dialect.frames(message)) if seen.stream else [Frame("other", encode(dialect.whole(message)))]
        size = sum(len(frame.data) for frame in frames)
        if fault:
            frames = broken(frames, fault, dialect, str(seen.index))
        lost = bool(kind and (kind.lost or kind.spoils)) or bool(fault and fault.name == "stall" and fault.close)
        return self._framed(frames, reply, fault, None if seen.stream else size, not lost)

    def _status_plan(self, seen: SeenRequest, dialect: Dialect, fault: Fault) -> Plan:
        problem = problem_of(fault, f"{seen.index:06d}")
        headers = [("request-id", f"req_{problem.id}"), ("x-request-id", f"req_{problem.id}")]
        retry_after = fault.retry_after or CATALOGUE[fault.name].retry_after
        if fault.name == "rate_limit_date":
            # Dates have whole seconds: rounding up keeps the wait at least as long as asked for.
            retry_after = formatdate(math.ceil(self._wall_clock() + (fault.seconds or 3.0)), usegmt=True)
        if retry_after is not None:
            headers.append(("retry-after", retry_after))
        return json_plan(problem.status, dialect.error(problem), tuple(headers))

    def _message(self, seen: SeenRequest, dialect: Dialect, reply: Reply, spoils: bool) -> Message:
        """The reply with its roles resolved, its ids made and its usage counted."""
        tools = seen.tools
        text, calls = reply.text, list[WireCall]()
        for number, call in enumerate(reply.calls):
            if call.name.startswith("@") and not tools:
                said = as_text(call, b"SEARCH/REPLACE" in seen.raw)
                text = "\n\n".join(filter(None, [text, said]))
                continue
            found = resolve(call, tools)
            mark = "x" if spoils else "s"
            made = f"{dialect.call_prefix}_{mark}{seen.position:04d}r{seen.index:05d}c{number:03d}"
            identity = made if call.id is None else call.id
            calls.append(WireCall(identity, found.name, found.arguments, found.freeform))
        thinking = (Thinking(reply.thinking),) if isinstance(reply.thinking, str) else reply.thinking
        usage = reply.usage
        if usage is None:
            said = "".join([text, *(block.text for block in thinking), *(call.arguments for call in calls)])
            usage = Usage(self.count_tokens(seen.raw), self.count_tokens(said.encode()))
        return Message(
            id=f"{seen.index:06d}",
            model=seen.model,
            created=int(self._wall_clock()),
            thinking=tuple(block for block in thinking if block != Thinking("")),
            text=text,
            calls=tuple(calls),
            stop=reply.stop,
            usage=usage,
            chunk=reply.chunk,
            options=seen.body,
        )

    def _framed(
        self, frames: list[Frame], reply: Reply, fault: Fault | None, length: int | None, advances: bool
    ) -> Plan:
        """Puts frames into HTTP: chunks for a stream, a content length (`length`) for a whole response."""
        cut = fault is not None and CATALOGUE[fault.name].family == "stream"
        default = "close" if fault and fault.name.startswith("cut_") else "end"
        close = (fault.close or default) if fault and (cut or fault.name == "stall") else "end"
        if length is not None and close == "end":
            length = sum(len(frame.data) for frame in frames)
        if length is None:
            head = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
            fields = (*head, ("transfer-encoding", "chunked"))
        else:
            fields = (("content-type", "application/json"), ("content-length", str(length)))
        steps: list[bytes | float] = [reply.delay] if reply.delay else []
        steps.append(_head(200, fields))
        if fault and fault.name == "bad_chunking":
            steps.append(_chunk(frames[0].data) + b"not a size\r\n")
            return Plan(200, tuple(steps), "close")
        wrap = _chunk if length is None else bytes
        for data in self._paced(frames, reply, fault):
            if isinstance(data, bytes):
                data = wrap(data)
            steps.append(data)
            if fault and fault.name == "stall" and fault.close and isinstance(data, float):
                break
        if close == "end" and length is None:
            steps.append(b"0\r\n\r\n")
        return Plan(200, tuple(steps), "keep" if close == "end" else close, advances)

    def _paced(self, frames: list[Frame], reply: Reply, fault: Fault | None) -> list[bytes | float]:
        """The body's bytes with its pauses."""
        if fault and fault.name == "drip":
            size, data = fault.size or 16, b"".join(frame.data for frame in frames)
            seconds = fault.seconds or 0.01
            return [step for at in range(0, len(data), size) for step in (seconds, data[at : at + size])]
        paced: list[bytes | float] = []
        if fault and fault.name == "stall" and len(frames) == 1:
            half = len(frames[0].data) // 2
            frames = [Frame("text", frames[0].data[:half]), Frame("other", frames[0].data[half:])]
        stalled = fault is None or fault.name != "stall"
        for frame in frames:
            if reply.pace and paced:
                paced.append(reply.pace)
            if frame.data:
                paced.append(frame.data)
            if not stalled and frame.kind in ("text", "thinking", "arguments"):
                paced.append((fault.seconds if fault else None) or 30.0)
                stalled = True
        return paced


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _head(status: int, fields: tuple[tuple[str, str], ...]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Overloaded" if status == 529 else "Status"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")
