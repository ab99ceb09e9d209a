"""What the three interfaces share: a request read, a reply written, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

import msgspec
from msgspec import Struct

from assay.core.errors import UsageError
from assay.core.ids import new_id
from assay.core.messages import AssistantMessage, Failure, FailureKind, Image, Json, Text, ToolCall
from assay.core.model import Effort, ModelEvent, ModelRequest, Reasoning
from assay.models.dialects.values import rows, table, word

Table = dict[str, Json]
encode = msgspec.json.encode


class Refused(UsageError):
    """A request that makes no sense, or wants what can't be had here."""


class Asked(Struct, frozen=True):
    """A request, in the words of the house."""

    model: str
    request: ModelRequest
    stream: bool = False
    include_usage: bool = False
    """Chat Completions: figures at the end of the stream, too."""


class Problem(Struct, frozen=True):
    """An error in no particular interface."""

    kind: str
    """In Anthropic's words: invalid_request_error, authentication_error, ..."""
    status: int
    message: str


class Reply(Struct, frozen=True):
    """What every piece of one reply repeats."""

    id: str
    model: str
    created: int
    include_usage: bool = False


class Writer(Protocol):
    """One reply as a stream of server-sent events: `start`, then `piece` for each event of the model, then `finish`
    with the whole message, or `fail`. `finish` says whatever the pieces have left out."""

    def start(self) -> Iterator[bytes]: ...

    def piece(self, event: ModelEvent, /) -> Iterator[bytes]: ...

    def finish(self, message: AssistantMessage) -> Iterator[bytes]: ...

    def fail(self, problem: Problem) -> Iterator[bytes]: ...


class Shape(Protocol):
    """One interface. Pure."""

    @property
    def dialect(self) -> str:
        """The name of the dialect that it is the other side of."""
        ...

    def read(self, body: Table) -> Asked:
        """Raises `Refused`."""
        ...

    def writer(self, reply: Reply) -> Writer: ...

    def whole(self, message: AssistantMessage, reply: Reply) -> Table:
        """The reply as one object."""
        ...

    def error(self, problem: Problem) -> Table: ...


_PROBLEMS: dict[FailureKind, tuple[str, int]] = {
    "auth": ("permission_error", 403),
    "quota": ("permission_error", 403),
    "rate_limit": ("rate_limit_error", 429),
    "overloaded": ("overloaded_error", 529),
    "timeout": ("timeout_error", 504),
    "context_too_long": ("invalid_request_error", 400),
    "bad_request": ("invalid_request_error", 400),
    "refused": ("invalid_request_error", 400),
    "not_found": ("not_found_error", 404),
}
"""What a provider did, as the gateway's clients are told. A key that a provider refuses is not the client's, so it is
no 401: that one says that the gateway's own token is wrong."""


def problem_of(failure: Failure) -> Problem:
    kind, status = _PROBLEMS.get(failure.kind, ("api_error", 502))
    return Problem(kind, status, failure.message)


def unreadable(message: AssistantMessage) -> Problem | None:
    """Why a reply can't be handed on: a call whose arguments nobody can read would be run without any."""
    broken = next((call for call in message.calls if call.invalid), None)
    return (
        Problem("api_error", 502, f"the model's call of {broken.name} is broken: {broken.invalid}") if broken else None
    )


def event(data: Table, *, named: bool = True) -> bytes:
    """A server-sent event, named by its type where the interface wants that."""
    head = b"event: %b\n" % str(data["type"]).encode() if named else b""
    return b"%bdata: %b\n\n" % (head, text_json(data))


def text_json(data: Json) -> bytes:
    """JSON bytes; lone surrogates become U+FFFD."""
    from assay.models.dialects.values import to_json

    return to_json(data)


def arguments_json(call: ToolCall) -> str:
    return text_json(call.arguments).decode()


def rest_of(text: str, said: str) -> str:
    """What of the whole text the pieces have left out."""
    return text[len(said) :] if text.startswith(said) else ""


def fresh(prefix: str) -> str:
    return f"{prefix}{new_id().replace('-', '')}"


# --- reading ----------------------------------------------------------------------------------------------------------


def whole_number(body: Table, *names: str) -> int | None:
    """The first of these fields that is set. Raises `Refused` unless it is a whole number from 1."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise Refused(f"{name}: expected a whole number from 1")
        return value
    return None


def decimal(body: Table, name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{name}: expected a number")
    return float(value)


def stops(value: Json) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(word(each) for each in rows(value))


def model_name(body: Table) -> str:
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise Refused("model: expected the name of a model; GET /v1/models lists them")
    return name


def items_of(body: Table, field: str) -> list[Table]:
    """Raises `Refused` unless it is a list with something in it."""
    found = body.get(field)
    if not isinstance(found, list) or not found:
        raise Refused(f"{field}: expected a list with at least one entry")
    return [table(each) for each in cast("list[Json]", found)]


def no_forced_tool(body: Table) -> bool:
    """Whether tools may be offered at all. Raises `Refused` for a choice that nobody here can enforce."""
    choice = body.get("tool_choice")
    kind = choice if isinstance(choice, str) else word(table(choice).get("type"))
    if kind in ("", "auto", "none"):
        return kind != "none"
    raise Refused(f"tool_choice: only auto and none can be had through this gateway; got {kind}")


_EFFORTS: dict[str, Effort] = {
    "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max",
}  # fmt: skip


def effort_of(value: Json) -> Reasoning:
    """How much to think, from an effort in anyone's words."""
    if value == "none":
        return Reasoning("off")
    return Reasoning(effort=_EFFORTS.get(word(value)))


def image_of(url: Json) -> Image:
    """An image from a `data:` URL. Raises `Refused`: nothing is fetched for anyone."""
    head, comma, data = word(url).partition(",")
    kind, _, encoding = head.removeprefix("data:").partition(";")
    if not head.startswith("data:image/") or encoding != "base64" or not comma:
        raise Refused("image_url: only data:image/...;base64,... is taken; the gateway fetches nothing")
    return Image(kind, data)


def texts(content: Json) -> str:
    """The text of a content that is a string, or a list of parts with text."""
    if isinstance(content, str):
        return content
    return "\n".join(word(table(part).get("text")) for part in rows(content) if word(table(part).get("text")))


def said(text: str) -> tuple[Text, ...]:
    return (Text(text),) if text else ()


def call_of(identity: Json, name: Json, arguments: Json) -> ToolCall:
    """A call of the history; arguments that are no object are handed on as broken."""
    if isinstance(arguments, str):
        try:
            arguments = cast("Json", msgspec.json.decode(arguments)) if arguments.strip() else {}
        except (msgspec.DecodeError, RecursionError):
            arguments = None
    if not isinstance(arguments, dict):
        return ToolCall(word(identity), word(name), {}, "the arguments are not a JSON object")
    return ToolCall(word(identity), word(name), cast("Table", arguments))
