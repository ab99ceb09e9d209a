"""Everything the server can do wrong, by name. How a fault spoils a reply is in `spoil`.

A fault belongs to a family: `status` answers with an error instead, `connection` answers nothing, `message` changes
what is said, `stream` breaks how it is said, `timing` says it late.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import msgspec

from assay.testing.server.script import Fault, Reply, ScriptError
from assay.testing.server.wire import Problem

Family = Literal["status", "connection", "message", "stream", "timing"]


class FaultKind(msgspec.Struct, frozen=True):
    """What a fault is.

    `needs`: what a reply must have to be struck; the fault waits for one. `lost`: the reply doesn't arrive, so the
    script doesn't go on. `spoils`: the call that arrives isn't the scripted one, so having it in the history doesn't
    count as a step. The rest is for the `status` family.
    """

    family: Family
    says: str
    needs: Literal["text", "utf8", "call"] | None = None
    lost: bool = False
    spoils: bool = False
    status: int = 0
    problem: str = "server"
    message: str = ""
    retry_after: str | None = None


def _status(status: int, problem: str, message: str, says: str, retry_after: str | None = None) -> FaultKind:
    return FaultKind(
        "status", says, lost=True, status=status, problem=problem, message=message, retry_after=retry_after
    )


_TOO_LONG = (
    "prompt is too long: this model's maximum context length is exceeded; please reduce the length of the messages"
)

CATALOGUE: Mapping[str, FaultKind] = MappingProxyType(
    {
        "rate_limit": _status(
            429, "rate_limit", "Rate limit reached.", "429 with Retry-After: retry_after (3)", retry_after="3"
        ),
        "rate_limit_date": _status(
            429, "rate_limit", "Rate limit reached.", "429 with Retry-After as an HTTP date, seconds (3) ahead"
        ),
        "rate_limit_day": _status(
            429, "rate_limit", "Rate limit reached.", "429 with Retry-After: 86400", retry_after="86400"
        ),
        "quota": _status(
            429,
            "quota",
            "You exceeded your current quota, please check your plan and billing details.",
            "429 without Retry-After, with the vendor's code for spent quota",
        ),
        "unauthorized": _status(401, "unauthorized", "Incorrect API key provided.", "401"),
        "forbidden": _status(403, "forbidden", "Your key has no access to this resource.", "403"),
        "no_model": _status(404, "not_found", "The model does not exist or you do not have access to it.", "404"),
        "unknown_field": _status(400, "invalid", "Unknown parameter.", "400: a field of the request is refused"),
        "too_long": _status(
            400,
            "too_long",
            _TOO_LONG,
            "400 context too long, until a request is a tenth smaller than the first one struck; with size: whenever "
            "a body is longer than size bytes. times is not used",
        ),
        "server_error": _status(500, "server", "Internal server error.", "500"),
        "unavailable": _status(503, "overloaded", "The service is temporarily unavailable.", "503"),
        "overloaded": _status(529, "overloaded", "Overloaded.", "529"),
        "status": _status(500, "server", "The request failed.", "any status, with retry_after if given"),
        "reset": FaultKind("connection", "TCP reset before any byte of the response", lost=True),
        "hang": FaultKind("connection", "the request is accepted and never answered", lost=True),
        "stall": FaultKind(
            "timing",
            "silence for seconds (30) after the first token, then the rest; with close: that end instead of the rest",
        ),
        "drip": FaultKind("timing", "the body in pieces of size (16) bytes, seconds (0.01) apart"),
        "cut_at": FaultKind("stream", "the body is cut after size (0) bytes", lost=True),
        "cut_in_text": FaultKind("stream", "cut between two pieces of the text", "text", lost=True),
        "cut_in_json": FaultKind("stream", "cut inside the JSON of an event", lost=True),
        "cut_in_utf8": FaultKind("stream", "cut inside a UTF-8 sequence of the text", "utf8", lost=True),
        "cut_in_arguments": FaultKind(
            "stream", "cut in the middle of the first call's arguments", "call", lost=True, spoils=True
        ),
        "cut_after_call": FaultKind(
            "stream", "cut after the last call is complete, before the end of the reply", "call", lost=True
        ),
        "no_end": FaultKind("stream", "all of the reply but the last event, and the body ends properly", lost=True),
        "error_event": FaultKind(
            "stream", "an error event in the middle of a 200 stream, classed like status (529)", lost=True
        ),
        "bad_chunking": FaultKind("stream", "chunked encoding goes wrong after the first event", lost=True),
        "unknown_events": FaultKind("stream", "events of an unknown type among the known ones; harmless"),
        "malformed_arguments": FaultKind(
            "message",
            "the calls' argument JSON stops at two thirds, in a reply that is otherwise whole",
            "call",
            spoils=True,
        ),
        "unknown_tool": FaultKind("message", "the calls name a tool that doesn't exist", "call", spoils=True),
        "wrong_types": FaultKind("message", "every argument is a list of a number", "call", spoils=True),
        "extra_fields": FaultKind("message", "the arguments have a field too many", "call", spoils=True),
        "duplicate_id": FaultKind("message", "the first call comes twice with one id", "call"),
        "missing_id": FaultKind("message", "the calls have no id", "call"),
        "parallel": FaultKind("message", "the first call size (200) times in one reply", "call", spoils=True),
        "empty": FaultKind("message", "a reply with no content at all", spoils=True),
        "only_reasoning": FaultKind("message", "a reply that only thinks", spoils=True),
        "huge_delta": FaultKind("message", "a text of size (50,000,000) bytes in one delta"),
        "usage_missing": FaultKind("message", "no usage figures"),
        "usage_negative": FaultKind("message", "usage figures of -5"),
        "usage_huge": FaultKind("message", "usage figures of 10**18"),
    }
)


def check_faults(faults: Sequence[Fault]) -> None:
    """Raises ScriptError for a fault whose name isn't in the catalogue."""
    for fault in faults:
        if fault.name not in CATALOGUE:
            raise ScriptError(f"no fault {fault.name!r}; there are {', '.join(CATALOGUE)}")


def strikes(fault: Fault, reply: Reply) -> bool:
    """Whether the reply has what the fault needs."""
    needs = CATALOGUE[fault.name].needs
    if needs == "call":
        return bool(reply.calls)
    if needs == "utf8":
        return not reply.text.isascii()
    return needs is None or len(reply.text) > 1


def _said(problem: str) -> str:
    """What a provider says about a problem; nothing in it may hint at another one."""
    return {
        "overloaded": "Overloaded.",
        "rate_limit": "Rate limit reached.",
        "unauthorized": "Incorrect API key provided.",
        "forbidden": "Your key has no access to this resource.",
        "not_found": "The model does not exist.",
        "invalid": "The request is not valid.",
    }.get(problem, "Internal server error.")


def problem_of(fault: Fault, identity: str) -> Problem:
    """The error of a fault of the `status` family, or of `error_event`."""
    kind = CATALOGUE[fault.name]
    status = fault.status or kind.status or 529
    name = kind.problem
    if fault.name in ("status", "error_event"):
        by_status = {400: "invalid", 401: "unauthorized", 403: "forbidden", 404: "not_found", 429: "rate_limit"}
        by_status |= {503: "overloaded", 529: "overloaded"}
        name = by_status.get(status, "server" if status >= 500 else "invalid")
    return msgspec.convert(
        {"kind": name, "status": status, "message": kind.message or _said(name), "id": identity}, Problem
    )
