"""The contract of `EventStore`."""

from __future__ import annotations

from collections.abc import Callable

from assay.core.check import Check, CheckRun, Criterion, DiffStat, Evidence, Verdict
from assay.core.events import (
    AttemptFinished,
    AttemptSelected,
    CallDecided,
    CallFinished,
    CheckFinished,
    Checkpointed,
    Compacted,
    ContextAdded,
    CriteriaDeclared,
    Event,
    EvidenceRecorded,
    Framed,
    InputReceived,
    ModeChanged,
    ModelReplied,
    Noticed,
    Rewound,
    SessionStarted,
    TaskEnded,
    TaskStarted,
    TurnEnded,
)
from assay.core.messages import (
    AssistantMessage,
    Failure,
    Image,
    Native,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)
from assay.core.policy import Decision, Effect
from assay.core.store import EventStore

OPEN = Callable[[], EventStore]
"""Opens the same session each time: new at first, then as it was left."""


def every_event() -> list[Event]:
    """A short session in which every kind of event, and every kind of message part, occurs."""
    check = Check("unit tests", "python -m pytest -q", "test", "pytest", "pyproject.toml")
    run = CheckRun(check.name, "t0", False, 1, 1.5, "sha256:00", "1 failed", {"tests/test_a.py::test_b": "fail"})
    criterion = Criterion("b works", "python -m pytest -q", owner="project")
    evidence = Evidence(criterion.text, check.command, "B", "fail", "pass", "t1", "sha256:01", 1.25)
    usage = Usage(120, 30, 10, 40, 5)
    native = Native("anthropic", "m", [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}])
    edit = ToolCall("call_1", "edit", {"path": "a.py", "count": 2, "deep": {"list": [1, None, 2.5, True]}})
    broken = ToolCall("call_2", "shell", {}, "the arguments are not valid JSON")
    message = AssistantMessage((Thinking("hm", "c2ln"), Text("I edit."), edit, broken), "calls", "p/m", usage, native)
    failure = Failure("overloaded", "the provider is overloaded; try again later", 529, 3.0, 4)
    verdict = Verdict("verified", "all green", (criterion,), (evidence,), "t1", DiffStat(1, 3, 1, ("tests/x.py",)))
    return [
        SessionStarted("s", "/project", "0.1", "r"),
        InputReceived("turn-1", (Text("mend b"), Image("image/png", "aGk=")), "p/m"),
        ContextAdded("environment", "linux", "AGENTS.md"),
        Framed("turn-1", "t0"),
        Checkpointed("c1", "t1", {"HEAD": "f" * 40}),
        CheckFinished(run, "baseline"),
        ModelReplied(1, AssistantMessage((), "failed", "p/m", failure=failure)),
        ModelReplied(2, message, 0.01, 2.5, "solver"),
        CallDecided("call_1", "edit", (Effect("write", "a.py"),), Decision("allow", "inside", "workspace")),
        CallFinished(ToolResult("call_1", (Text("done"),)), "edited", {"bytes": 10}, {"a.py": "ab12"}, 0.1),
        CallFinished(ToolResult("call_2", (Text("bad"), Image("image/png", "aGk=")), is_error=True), finish=True),
        CriteriaDeclared((criterion,)),
        EvidenceRecorded(evidence),
        AttemptFinished(1, "slots", "a.py:b", "green", "first", "t1"),
        AttemptFinished(2, "loop", "a.py", "red", "1 failed", "t2", "p/m", 3, usage, 0.02, 4.5, "a2.jsonl"),
        AttemptSelected(1, "the only one that is green", 2, True, 0.9),
        Compacted("b was mended", 6),
        Rewound(7, "a1b2"),
        ModeChanged("plan"),
        TaskStarted("t1", "agent", "look around", "c1", "", "explorer", "look"),
        TaskEnded("t1", "completed", "nothing there", Usage(10, output=5), 2, 1.5),
        Noticed("the log was mended"),
        TurnEnded("turn-1", verdict, "Done.", 2, 12.5, 0.01, 1),
    ]


class EventStoreConformance:
    """Needs a fixture `open_store`."""

    def test_every_event_comes_back_equal_and_numbered_from_one(self, open_store: OPEN) -> None:
        store = open_store()
        written = [store.append(event) for event in every_event()]
        assert [record.number for record in written] == list(range(1, len(written) + 1))
        assert list(store.records()) == written
        assert list(store.records()) == written, "a second pass gives the same"
        store.close()

    def test_a_session_goes_on_where_it_was_left(self, open_store: OPEN) -> None:
        store = open_store()
        first = store.append(Noticed("one"), durable=True)
        session = store.session
        store.close()
        store = open_store()
        second = store.append(Noticed("two"), durable=True)
        assert store.session == session
        assert store.notices == []
        assert list(store.records()) == [first, second]
        assert second.number == 2
        store.close()

    def test_any_text_survives(self, open_store: OPEN) -> None:
        texts = ["\u2028\u2029\x85", "lone \ud800 and \udfff", "\x00\x1b[2J\r\n", '{"crc":"00000000"', "é漢😀", ""]
        store = open_store()
        written = [store.append(ContextAdded("o", text, text)) for text in texts]
        large = store.append(CallFinished(ToolResult("c", (Text("x\ud800\n" * 1_000_000),)), debug={"n": 10**30}))
        store.close()
        store = open_store()
        assert list(store.records()) == [*written, large]
        assert store.notices == []
        store.close()

    def test_what_is_appended_while_reading_waits_for_the_next_reading(self, open_store: OPEN) -> None:
        store = open_store()
        store.append(Noticed("one"))
        store.append(Noticed("two"))
        for _ in store.records():
            store.append(Noticed("more"))
        assert len(list(store.records())) == 4
        store.close()

    def test_time_never_goes_back(self, open_store: OPEN) -> None:
        store = open_store()
        times = [store.append(Noticed(str(number))).time for number in range(50)]
        assert times == sorted(times)
        assert times[0] > 0
        store.close()

    def test_closing_twice_is_fine(self, open_store: OPEN) -> None:
        store = open_store()
        store.close()
        store.close()
