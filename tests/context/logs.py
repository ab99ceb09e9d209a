"""Logs of sessions, made up: turns of steps of calls."""

from __future__ import annotations

from hypothesis import strategies as st

from assay.core.check import CheckRun, Criterion, Evidence
from assay.core.events import (
    CallDecided,
    CallFinished,
    CheckFinished,
    ContextAdded,
    CriteriaDeclared,
    Event,
    EvidenceRecorded,
    Framed,
    InputReceived,
    ModelReplied,
)
from assay.core.messages import AssistantMessage, Failure, Message, Text, ToolCall, ToolResult, UserMessage
from assay.core.policy import Decision, Effect
from assay.core.store import Record
from assay.testing import call, reply


def numbered(events: list[Event]) -> list[Record]:
    return [Record(number, float(number), event) for number, event in enumerate(events, 1)]


def asked(text: str) -> InputReceived:
    return InputReceived("t", (Text(text),))


def acted(step: int, *calls: ToolCall, says: str = "") -> list[Event]:
    """One step: a reply with calls, each allowed and answered."""
    events: list[Event] = [ModelReplied(step, reply(says, calls))]
    for each in calls:
        events.append(
            CallDecided(each.id, each.name, (Effect("write", str(each.arguments.get("path", ""))),), Decision("allow"))
        )
        events.append(CallFinished(ToolResult(each.id, (Text(f"result of {each.id}"),)), f"{each.name} done"))
    return events


def edit(step: int, path: str = "") -> list[Event]:
    path = path or f"src/file{step}.py"
    return acted(step, call("edit", {"path": path}, id=f"c{step}"), says=f"I edit {path}.")


def said(text: str) -> ModelReplied:
    return ModelReplied(0, reply(text))


def checked(name: str, passed: bool) -> CheckFinished:
    return CheckFinished(CheckRun(name, "t", passed, int(not passed), 0.1, "sha256:0", ""), "attempt")


STANDING: list[Event] = [
    ContextAdded("environment", "<environment>card</environment>"),
    ContextAdded("instructions", "<instructions>be brief</instructions>", "AGENTS.md"),
    Framed("t", "tree"),
]

_words = st.text(max_size=200)


@st.composite
def sessions(draw: st.DrawFn) -> list[Record]:
    """A log of a session that may have ended anywhere between two records."""
    events: list[Event] = [asked(draw(_words)), *STANDING]
    for step in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["calls", "calls", "calls", "said", "failed", "asked", "proved", "nudged"]))
        if kind == "calls":
            names = [f"c{step}_{number}" for number in range(draw(st.integers(1, 3)))]
            events += acted(step, *(call("edit", {"path": draw(_words)}, id=name) for name in names), says=draw(_words))
        elif kind == "said":
            events.append(said(draw(_words)))
        elif kind == "failed":
            failure = AssistantMessage((), "failed", failure=Failure("cut", "broke off"))
            events.append(ModelReplied(step, failure))
        elif kind == "asked":
            events.append(asked(draw(_words)))
        elif kind == "proved":
            events.append(CriteriaDeclared((Criterion(draw(_words)),)))
            events.append(checked(draw(_words), draw(st.booleans())))
            row = Evidence(draw(_words), "pytest", "B", "fail", "pass", "t", "sha256:1", 0.1)
            events.append(EvidenceRecorded(row))
        else:
            events.append(ContextAdded("gate", draw(_words)))
    return numbered(events[: draw(st.integers(4, len(events)))])


def assert_well_formed(messages: list[Message]) -> None:
    """What every provider asks for: every call answered right behind it, no answer without its call."""
    for index, message in enumerate(messages):
        if isinstance(message, AssistantMessage):
            assert message.failure is None
            wanted = [each.id for each in message.calls]
            after = messages[index + 1].parts if index + 1 < len(messages) else ()
            assert [part.call for part in after if isinstance(part, ToolResult)] == wanted
        else:
            assert message.parts
            if index and isinstance(messages[index - 1], AssistantMessage):
                continue
            assert not any(isinstance(part, ToolResult) for part in message.parts)


def texts(messages: list[Message]) -> str:
    """All that the user's side says."""
    return "\n".join(
        part.text for message in messages if isinstance(message, UserMessage) for part in message.parts
        if isinstance(part, Text)
    )  # fmt: skip
