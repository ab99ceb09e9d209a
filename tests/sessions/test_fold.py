"""Folds: history that every provider accepts, figures that add up, a status to go on from."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import inputs

from assay.core.check import Verdict
from assay.core.events import (
    CallDecided,
    CallFinished,
    Compacted,
    ContextAdded,
    Event,
    InputReceived,
    ModelReplied,
    Noticed,
    TurnEnded,
)
from assay.core.messages import AssistantMessage, Failure, Message, Text, ToolResult, Usage, UserMessage
from assay.core.policy import Decision
from assay.core.store import Record
from assay.sessions.fold import NOT_RUN, UNKNOWN_OUTCOME, History, Ledger, Status, fold
from assay.testing import call, reply
from assay.testing.conformance.store import every_event


def records(*events: Event) -> list[Record]:
    return [Record(number, float(number), event) for number, event in enumerate(events, 1)]


def said(text: str) -> InputReceived:
    return InputReceived("t", (Text(text),))


def allowed(name: str) -> CallDecided:
    return CallDecided(name, "edit", (), Decision("allow"))


def result(name: str, text: str = "ok") -> CallFinished:
    return CallFinished(ToolResult(name, (Text(text),)))


def called(*names: str) -> ModelReplied:
    return ModelReplied(1, reply("I act.", [call("edit", id=name) for name in names]))


def answered(text: str) -> ModelReplied:
    return ModelReplied(1, reply(text))


def shape(messages: list[Message]) -> list[list[str]]:
    """Messages in short: `>` starts the assistant's, a result shows as its call's name and text."""
    short: list[list[str]] = []
    for message in messages:
        parts = [">"] if isinstance(message, AssistantMessage) else []
        for part in message.parts:
            if isinstance(part, Text):
                parts.append(part.text)
            elif isinstance(part, ToolResult):
                parts.append(f"{part.call}={''.join(each.text for each in part.content if isinstance(each, Text))}")
        short.append(parts)
    return short


def history(*events: Event) -> History:
    folded = History()
    fold(records(*events), folded)
    return folded


def test_what_the_users_side_says_between_replies_is_one_message_with_results_first() -> None:
    events = (
        said("do"),
        ContextAdded("env", "card"),
        called("a", "b"),
        ContextAdded("nudge", "n"),
        result("b"),
        result("a"),
    )
    assert shape(history(*events).messages()) == [["do", "card"], [">", "I act."], ["a=ok", "b=ok", "n"]]


def test_failed_and_cancelled_replies_leave_nothing() -> None:
    failure = ModelReplied(1, AssistantMessage((Text("half"),), "failed", failure=Failure("cut", "cut")))
    stopped = ModelReplied(1, AssistantMessage((Text("half"),), "cancelled", failure=Failure("cancelled", "by you")))
    messages = history(said("a"), failure, stopped, said("b"), answered("c"), Noticed("x")).messages()
    assert shape(messages) == [["a"], ["b"], [">", "c"]]


def test_a_log_that_ends_within_calls_names_the_unknown_ones() -> None:
    folded = history(said("do"), called("a", "b", "c"), allowed("a"), result("a"), allowed("b"))
    assert [each.id for each in folded.unanswered_calls()] == ["b", "c"]
    assert [each.id for each in folded.unknown_calls()] == ["b"]
    assert shape(folded.messages())[-1] == ["a=ok", f"b={UNKNOWN_OUTCOME}", f"c={NOT_RUN}"]


def test_a_compaction_keeps_what_follows_and_no_orphans() -> None:
    before = said("one"), called("a"), result("a"), answered("two"), said("three"), answered("four")
    for keeps, expected in {
        1: [["one"], [">", "I act."], ["a=ok"], [">", "two"], ["three"], [">", "four"]],
        2: [[">", "I act."], ["a=ok"], [">", "two"], ["three"], [">", "four"]],
        3: [[">", "two"], ["three"], [">", "four"]],
        5: [["three"], [">", "four"]],
        7: [],
    }.items():
        folded = history(*before, Compacted("sum", keeps), said("five"))
        assert shape(folded.messages()) == [["sum"], *expected, ["five"]]
    folded = history(*before, Compacted("old", 6), said("five"), answered("six"), Compacted("new", 1))
    assert shape(folded.messages()) == [["new"], [">", "four"], ["five"], [">", "six"]], "one summary at a time"


NAMES = st.sampled_from(["a", "b", "c"])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(said, st.just("in")),
    st.builds(ContextAdded, st.just("o"), st.just("ctx")),
    st.builds(called, NAMES),
    st.builds(lambda: called("a", "b", "c")),
    st.builds(answered, st.just("text")),
    st.builds(lambda: ModelReplied(1, AssistantMessage((), "end"))),
    st.builds(lambda: ModelReplied(1, AssistantMessage((call("x", id="a"),), "failed", failure=Failure("cut", "c")))),
    st.builds(allowed, NAMES),
    st.builds(result, NAMES),
    st.builds(Compacted, st.just("sum"), st.integers(0, 40)),
)


def well_formed(messages: list[Message]) -> None:
    open_calls: list[str] = []
    for message in messages:
        if isinstance(message, UserMessage):
            results = [part.call for part in message.parts if isinstance(part, ToolResult)]
            assert results == open_calls, "each call is answered once, in order, by the next message"
            assert message.parts
            assert all(isinstance(part, ToolResult) for part in message.parts[: len(results)])
            open_calls = []
        else:
            assert open_calls == []
            open_calls = [each.id for each in message.calls]
    assert open_calls == []


@settings(max_examples=inputs(200), deadline=None)
@given(st.lists(st.tuples(EVENTS, st.booleans()), max_size=30))
def test_any_log_gives_a_history_that_only_grows_and_is_well_formed(steps: list[tuple[Event, bool]]) -> None:
    folded, before = History(), list[Message]()
    for record, (event, asked) in zip(records(*(event for event, _ in steps)), steps, strict=True):
        folded.apply(record)
        if isinstance(event, Compacted):
            before = []
        if asked:
            messages = folded.messages()
            well_formed(messages)
            assert all(now is then for now, then in zip(messages, before, strict=False))
            assert len(messages) >= len(before)
            before = messages
    well_formed(folded.messages())


def test_the_ledger_adds_up_by_role_model_and_turn() -> None:
    cheap = AssistantMessage((Text("x"),), "end", "p/cheap", Usage(10, 1, 2, 5))
    dear = AssistantMessage((), "failed", "p/dear", Usage(100, 0, 0, 50), failure=Failure("cut", "c"))
    ledger = Ledger()
    assert ledger.total.dollars is None
    fold(
        records(said("a"), ModelReplied(1, cheap, 0.25, 1.0), said("b"), ModelReplied(1, dear, None, 2.0, "judge")),
        ledger,
    )
    assert (ledger.total.steps, ledger.total.usage.total, ledger.total.seconds) == (2, 168, 3.0)
    assert (ledger.total.dollars, ledger.total.unpriced) == (0.25, 1)
    assert (ledger.turn.steps, ledger.turn.dollars, ledger.turn.unpriced) == (1, None, 1)
    assert {role: account.usage.total for role, account in ledger.by_role.items()} == {"solver": 18, "judge": 150}
    assert {model: account.usage.output for model, account in ledger.by_model.items()} == {"p/cheap": 5, "p/dear": 50}


def test_the_status_of_a_whole_session() -> None:
    status = Status()
    *before, end = records(*every_event())
    fold(before, status)
    assert (status.turn, status.verdict, status.tree, status.model) == ("turn-1", None, "t0", "p/m")
    status.apply(end)
    assert (status.session, status.cwd, status.forked_from, status.title) == ("s", "/project", "r", "mend b")
    assert (status.turn, status.text, status.turns) == ("", "Done.", 1)
    assert status.verdict is not None
    assert status.verdict.outcome == "verified"
    assert status.seen == {"a.py": "ab12"}
    assert [row.cls for row in status.evidence] == ["B"]
    assert [each.phase for each in status.checks] == ["baseline"]
    assert (len(status.criteria), len(status.attempts)) == (1, 2)
    assert (status.started, status.updated, status.records) == (1.0, 23.0, 23)
    status.apply(Record(18, 18.0, said("again")))
    assert (status.title, status.evidence, status.criteria, status.checks) == ("mend b", [], (), [])
    assert status.seen, "what was seen is of the session"
    status.apply(Record(18, 18.0, TurnEnded("t", Verdict("failed", "gave up"), "Sorry.", 1, 1.0)))
    assert status.verdict.outcome == "failed"


def test_a_title_is_one_short_printable_line() -> None:
    status = Status()
    fold(records(said("\x1b[2Jmend\n\n  it \ud800" + "x" * 500)), status)
    assert status.title.startswith("[2Jmend it x")
    assert len(status.title) == 80
    assert status.title.isprintable()
