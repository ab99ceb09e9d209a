"""The closed unions survive the wire, and every error and outcome has its exit code."""

from __future__ import annotations

import typing

import msgspec
import pytest

from assay.core import errors
from assay.core.check import EXIT_CODES, OutcomeName
from assay.core.errors import AssayError
from assay.core.events import Event
from assay.core.messages import AssistantMessage, Message, Text, ToolCall, ToolResult, UserMessage
from assay.testing.conformance.store import every_event


def all_errors(kind: type[AssayError] = AssayError) -> list[type[AssayError]]:
    """Those of the core, in whatever order rooms with kinds of their own were loaded."""
    found = [kind, *(found for child in kind.__subclasses__() for found in all_errors(child))]
    return [each for each in found if each.__module__ == errors.__name__]


@pytest.mark.parametrize("event", every_event(), ids=lambda event: type(event).__name__)
def test_an_event_comes_back_equal(event: Event) -> None:
    wire = msgspec.json.encode(event)
    assert msgspec.json.decode(wire, type=Event) == event
    assert msgspec.json.decode(wire)["kind"] == event.__struct_config__.tag


def test_the_sample_has_every_kind_of_event() -> None:
    assert {type(event) for event in every_event()} == set(typing.get_args(Event))


def test_tags_of_events_differ() -> None:
    tags = [kind.__struct_config__.tag for kind in typing.get_args(Event)]
    assert len(tags) == len(set(tags))


def test_what_a_newer_version_adds_is_passed_over_and_an_unknown_kind_is_refused() -> None:
    newer = b'{"kind":"notice","text":"hello","colour":"red"}'
    assert msgspec.json.decode(newer, type=Event).text == "hello"
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind":"from_the_future"}', type=Event)


def test_messages_come_back_equal_and_know_their_text_and_calls() -> None:
    call = ToolCall("c1", "read", {"path": "a"})
    message = AssistantMessage((Text("one "), call, Text("two")), "calls")
    answer = UserMessage((ToolResult("c1", (Text("ok"),)), Text("go on")))
    wire = msgspec.json.encode([message, answer])
    assert msgspec.json.decode(wire, type=list[Message]) == [message, answer]
    assert message.text == "one two"
    assert message.calls == (call,)


def test_every_outcome_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == set(typing.get_args(OutcomeName))
    assert {name for name, code in EXIT_CODES.items() if code == 0} == {"answered", "verified"}
    assert EXIT_CODES["interrupted"] == 130
    shared = {code for code in EXIT_CODES.values() if list(EXIT_CODES.values()).count(code) > 1}
    assert shared == {0, 10}, "every other code tells its outcome apart"


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_knows_how_the_command_ends(kind: type[AssayError]) -> None:
    assert kind("one line").exit_code == EXIT_CODES[kind.outcome] != 0
    assert kind.__name__ in (errors.__doc__ or ""), "the tree in the module's text shows it"


def test_the_codes_in_the_tree_are_those_of_the_classes() -> None:
    own = [kind for kind in AssayError.__subclasses__() if kind.__module__ == AssayError.__module__]
    assert {kind.__name__: kind("x").exit_code for kind in own} == {
        "UsageError": 2,
        "AuthError": 3,
        "ProviderUnavailable": 4,
        "SandboxUnavailable": 7,
        "NeedsApproval": 8,
        "StorageError": 9,
        "Interrupted": 130,
        "WorkspaceError": 1,
    }
    assert errors.StorageFull("x").exit_code == 9
