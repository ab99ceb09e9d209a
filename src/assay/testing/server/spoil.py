"""How a fault changes what is said (a message), and breaks how it is said (a stream)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from assay.testing.server.faults import CATALOGUE, problem_of
from assay.testing.server.script import Fault, Thinking, Usage
from assay.testing.server.wire import Dialect, Frame, Message, WireCall, encode


def spoiled(message: Message, fault: Fault) -> Message:
    """The message as a fault of the `message` family changes it; others leave it as it is."""
    change = _MESSAGE_CHANGES.get(fault.name)
    return change(message, fault) if change else message


def _calls(message: Message, edit: Callable[[WireCall], WireCall]) -> Message:
    return msgspec.structs.replace(message, calls=tuple(edit(call) for call in message.calls))


def _malformed(message: Message, _: Fault) -> Message:
    return _calls(
        message,
        lambda call: msgspec.structs.replace(call, arguments=call.arguments[: max(1, len(call.arguments) * 2 // 3)]),
    )


def _unknown_tool(message: Message, _: Fault) -> Message:
    return _calls(message, lambda call: msgspec.structs.replace(call, name="no_such_tool"))


def _wrong_types(message: Message, _: Fault) -> Message:
    return _edit_arguments(message, lambda arguments: {name: [1] for name in arguments})


def _extra_fields(message: Message, _: Fault) -> Message:
    return _edit_arguments(message, lambda arguments: {**arguments, "no_such_field": True})


def _edit_arguments(message: Message, edit: Callable[[dict[str, object]], dict[str, object]]) -> Message:
    def edited(call: WireCall) -> WireCall:
        try:
            arguments = msgspec.json.decode(call.arguments, type=dict[str, object])
        except msgspec.DecodeError:
            return call
        return msgspec.structs.replace(call, arguments=encode(edit(arguments)).decode())

    return _calls(message, edited)


def _duplicate_id(message: Message, _: Fault) -> Message:
    return msgspec.structs.replace(message, calls=(message.calls[0], *message.calls))


def _missing_id(message: Message, _: Fault) -> Message:
    return _calls(message, lambda call: msgspec.structs.replace(call, id=""))


def _parallel(message: Message, fault: Fault) -> Message:
    first = message.calls[0]
    calls = (msgspec.structs.replace(first, id=f"{first.id}{number:03d}") for number in range(fault.size or 200))
    return msgspec.structs.replace(message, calls=tuple(calls))


def _empty(message: Message, _: Fault) -> Message:
    return msgspec.structs.replace(message, thinking=(), text="", calls=(), stop="end")


def _only_reasoning(message: Message, _: Fault) -> Message:
    thinking = message.thinking or (Thinking("Let me think about what to do here."),)
    return msgspec.structs.replace(message, thinking=thinking, text="", calls=(), stop="end")


def _huge_delta(message: Message, fault: Fault) -> Message:
    return msgspec.structs.replace(message, text="x" * (fault.size or 50_000_000), chunk=0)


def _usage_missing(message: Message, _: Fault) -> Message:
    return msgspec.structs.replace(message, usage=None)


def _usage_negative(message: Message, _: Fault) -> Message:
    return msgspec.structs.replace(message, usage=Usage(-5, -5, -5, -5, -5))


def _usage_huge(message: Message, _: Fault) -> Message:
    return msgspec.structs.replace(message, usage=Usage(10**18, 10**18))


_MESSAGE_CHANGES: Mapping[str, Callable[[Message, Fault], Message]] = MappingProxyType(
    {
        "malformed_arguments": _malformed,
        "unknown_tool": _unknown_tool,
        "wrong_types": _wrong_types,
        "extra_fields": _extra_fields,
        "duplicate_id": _duplicate_id,
        "missing_id": _missing_id,
        "parallel": _parallel,
        "empty": _empty,
        "only_reasoning": _only_reasoning,
        "huge_delta": _huge_delta,
        "usage_missing": _usage_missing,
        "usage_negative": _usage_negative,
        "usage_huge": _usage_huge,
    }
)


def broken(frames: list[Frame], fault: Fault, dialect: Dialect, identity: str) -> list[Frame]:
    """The stream as a fault of the `stream` family breaks it; others leave it as it is."""
    name = fault.name
    if name == "cut_at":
        return _first_bytes(frames, fault.size or 0)
    if len(frames) == 1 and CATALOGUE[name].lost:  # a response that isn't streamed has no inner places
        return _cut_frame(frames, 0, len(frames[0].data) // 2)
    if name == "cut_in_text":
        return frames[: _middle(frames, "text")]
    if name == "cut_in_arguments":
        return frames[: _middle(frames, "arguments")]
    if name == "cut_in_json":
        at = _middle(frames, "text", "arguments")
        return _cut_frame(frames, at, len(frames[at].data) * 2 // 3)
    if name == "cut_in_utf8":
        return _cut_utf8(frames)
    if name == "cut_after_call":
        ends = [index for index, frame in enumerate(frames) if frame.kind == "call_end"]
        return frames[: ends[-1] + 1]
    if name == "no_end":
        return frames[:-1]
    if name == "error_event":
        at = _middle(frames, "text", "arguments")
        return [*frames[:at], dialect.error_frame(problem_of(fault, identity))]
    if name == "unknown_events":
        strange = Frame("other", b'event: weather\ndata: {"type":"weather","sky":"clear"}\n\n: a comment\n\n')
        return [frame for pair in frames for frame in (pair, strange)][:-1]
    return frames


def _middle(frames: list[Frame], *kinds: str) -> int:
    """The index at which half of the frames of the first kind that occurs have been sent (at least one)."""
    for kind in kinds:
        places = [index for index, frame in enumerate(frames) if frame.kind == kind]
        if places:
            return places[len(places) // 2] if len(places) > 1 else places[0] + 1
    return len(frames) // 2


def _cut_frame(frames: list[Frame], index: int, size: int) -> list[Frame]:
    return [*frames[:index], Frame("other", frames[index].data[:size])]


def _first_bytes(frames: list[Frame], size: int) -> list[Frame]:
    kept: list[Frame] = []
    for frame in frames:
        if size <= 0:
            break
        kept.append(Frame(frame.kind, frame.data[:size]))
        size -= len(frame.data)
    return kept


def _cut_utf8(frames: list[Frame]) -> list[Frame]:
    for index, frame in enumerate(frames):
        place = next((at for at, byte in enumerate(frame.data) if byte >= 0xC0), None)
        if place is not None and frame.kind in ("text", "other"):
            return _cut_frame(frames, index, place + 1)
    return frames[: len(frames) // 2]
