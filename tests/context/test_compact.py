"""Compaction: what is kept, what is distilled, and that it is bounded however long the log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assay.context.compact import Compactor
from assay.core.check import Criterion, Evidence
from assay.core.events import (
    CallFinished,
    Compacted,
    ContextAdded,
    CriteriaDeclared,
    Event,
    EvidenceRecorded,
    InputReceived,
    ModelReplied,
    Noticed,
)
from assay.core.messages import Image, Text, ToolResult
from assay.core.store import Record
from assay.sessions.fold import History, fold
from assay.testing import call, reply

from .logs import STANDING, acted, asked, assert_well_formed, checked, edit, numbered, said, sessions, texts


def compact(records: list[Record], keep: int) -> Compacted | None:
    compactor = Compactor()
    fold(records, compactor)
    return compactor.compact(keep)


def long_session(steps: int = 30) -> list[Event]:
    events: list[Event] = [asked("mend the parser"), *STANDING]
    for step in range(1, steps + 1):
        events += edit(step)
    return events


def summary_of(events: list[Event], keep: int = 50) -> str:
    event = compact(numbered(events), keep)
    assert event is not None
    return event.summary


def test_task_instructions_deeds_and_words_are_kept() -> None:
    text = summary_of(long_session())
    assert text.startswith("mend the parser\n\n<environment>card</environment>\n\n<instructions>be brief")
    assert "What was done so far, oldest first:\n- edit src/file1.py: edit done\n- edit src/file2.py" in text
    assert "I edit src/file28.py." in text
    assert text.endswith("nothing needs to be redone.]")


def test_every_file_that_was_touched_is_named() -> None:
    text = summary_of(long_session(40))
    assert all(f"src/file{step}.py" in text for step in range(1, 39))


def test_later_wishes_of_the_user_are_kept_too() -> None:
    events = [*long_session(3), asked("leave the lexer alone"), *edit(4), asked("and be quick"), *edit(5), *edit(6)]
    text = summary_of(events, 1)
    assert text.index("mend the parser") < text.index("leave the lexer alone") < text.index("and be quick")


def test_files_that_were_changed_are_named_once_even_when_there_were_too_many_deeds() -> None:
    events = long_session(10)
    for step in range(11, 300):
        events += edit(step, "src/again.py")
    text = summary_of(events)
    assert "earlier left out]" in text
    assert (
        "Files changed so far:\n" + "\n".join(f"src/file{step}.py" for step in range(1, 11)) + "\nsrc/again.py\n"
        in text
    )


def test_a_wish_with_a_long_attachment_keeps_the_words_and_loses_the_rest_of_the_attachment() -> None:
    attached = InputReceived("t", (Text("why does this log end?"), Text("<stdin>" + "x" * 90_000)))
    for events in (
        [attached, *STANDING, *edit(1), *edit(2), *edit(3)],
        [*long_session(3), attached, *edit(4), *edit(5)],
    ):
        text = summary_of(events, 1)
        assert "why does this log end?\n\n<stdin>xxx" in text
        assert "x\n[... cut at 8000 of 90007 characters]" in text
        assert len(text) < 12_000
    assert text.startswith("mend the parser\n\nwhy"), "the first wish is kept beside it"


def test_what_was_proved_is_kept_as_it_stands_now() -> None:
    row = Evidence("parses", "pytest", "B", "fail", "pass", "t", "sha256:0", 0.1)
    proofs: list[Event] = [
        CriteriaDeclared((Criterion("parses"),)),
        checked("pytest -q", False),
        checked("pytest -q", True),
        EvidenceRecorded(row),
        checked("pytest -q", False),
    ]
    text = summary_of([*long_session(3), *proofs, *edit(4), *edit(5)], 1)
    assert "criterion: parses" in text
    assert "evidence B: parses: fail -> pass" in text
    said_of_check = [line for line in text.splitlines() if "pytest -q" in line]
    assert said_of_check[-1] == "check `pytest -q`: failed", "the last word on a check is the latest"


def test_the_shape_that_the_answer_must_have_is_kept() -> None:
    schema = ContextAdded("schema", "Your final answer must be only one JSON value")
    text = summary_of([asked("count"), *STANDING, schema, *edit(1), *edit(2), *edit(3)], 1)
    assert schema.text in text


def test_only_the_newest_of_instructions_from_one_file_counts() -> None:
    again = ContextAdded("instructions", "<instructions>be thorough</instructions>", "AGENTS.md")
    text = summary_of([*long_session(2), again, *edit(3), *edit(4)], 1)
    assert "be thorough" in text
    assert "be brief" not in text


def test_a_failed_call_is_told_as_failed_and_a_long_line_is_cut() -> None:
    events = long_session(1)
    events.append(ModelReplied(2, reply("", [call("shell", {"command": "make\nall " + "x" * 900}, id="s")])))
    events.append(CallFinished(ToolResult("s", (Text("no"),), is_error=True), "exit 2"))
    text = summary_of([*events, *edit(3), *edit(4)], 1)
    line = next(line for line in text.splitlines() if line.startswith("- shell"))
    assert line.startswith("- shell make all xxx")
    assert line.endswith("x: exit 2 (failed)")
    assert len(line) < 400


def test_the_kept_part_is_as_long_as_asked_for() -> None:
    records = numbered(long_session(40))
    kept = {keep: compact(records, keep) for keep in (1, 200, 800)}
    numbers = [event.keeps_from for event in kept.values() if event]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 3
    assert compact(records, 10**9) is None, "all of it may stay"


def test_an_image_weighs_something() -> None:
    def shown(step: int) -> list[Event]:
        picture = CallFinished(ToolResult(f"p{step}", (Image("image/png", "aGk="),)))
        return [ModelReplied(step, reply("", [call("look", id=f"p{step}")])), picture]

    events = [asked("look"), *(event for step in range(10) for event in shown(step))]
    event = compact(numbered(events), 4_000)
    assert event is not None
    assert sum(isinstance(each, ModelReplied) for each in events[event.keeps_from - 1 :]) == 2


def test_there_is_nothing_to_gain_in_a_short_log() -> None:
    assert compact([], 10) is None
    assert compact(numbered([asked("hello")]), 10) is None
    assert compact(numbered([asked("hello"), *edit(1), *edit(2)]), 1) is None
    assert compact(numbered([asked("hello"), *edit(1), *edit(2), *edit(3)]), 1) is not None


def test_compacting_again_at_the_same_place_gains_nothing() -> None:
    records = numbered(long_session())
    first = compact(records, 50)
    assert first is not None
    assert compact([*records, Record(len(records) + 1, 0.0, first)], 50) is None


def test_what_is_kept_is_never_an_empty_reply() -> None:
    records = numbered([asked("hello"), *edit(1), *edit(2), *edit(3), said("")])
    event = compact(records, 0)
    assert event is not None
    history = History()
    fold([*records, Record(len(records) + 1, 0.0, event)], history)
    assert len(history.messages()) >= 2


@given(sessions(), st.integers(0, 3_000))
def test_what_is_kept_begins_at_a_reply_and_history_stays_well_formed(records: list[Record], keep: int) -> None:
    event = compact(records, keep)
    history = History()
    fold(records, history)
    if event is not None:
        opening = records[event.keeps_from - 1]
        assert opening.number == event.keeps_from
        assert isinstance(opening.event, ModelReplied)
        assert opening.event.message.failure is None
        history.apply(Record(len(records) + 1, 0.0, event))
    messages = history.messages()
    assert_well_formed(messages)
    if event is not None:
        assert messages[0].parts == (Text(event.summary),)
        assert len(texts(messages)) > len(event.summary) or len(messages) >= 2


@given(sessions(), st.integers(0, 500), st.integers(0, 500))
def test_a_second_compaction_keeps_the_first_words_and_stays_well_formed(
    records: list[Record], first: int, second: int
) -> None:
    history = History()
    fold(records, history)
    for keep in (first, second):
        event = compact(records, keep)
        if event is None:
            continue
        records = [*records, Record(len(records) + 1, 0.0, event)]
        history.apply(records[-1])
        for late in edit(len(records)):
            records = [*records, Record(len(records) + 1, 0.0, late)]
            history.apply(records[-1])
        prompt = records[0].event
        assert event.summary.startswith(prompt.parts[0].text)  # type: ignore[union-attr]
    assert_well_formed(history.messages())


@given(st.integers(3, 400), st.integers(1, 2_000), st.booleans())
def test_a_distillate_is_bounded_however_long_the_log(steps: int, width: int, talkative: bool) -> None:
    events: list[Event] = [asked("mend it"), *STANDING]
    for step in range(steps):
        events += acted(step, call("edit", {"path": "p" * width}, id=f"c{step}"), says="w" * width * talkative)
        events += [asked("more " * width), checked(f"{step}" * width, True)] if step % 3 == 0 else [Noticed("n")]
    assert len(summary_of(events, 1)) < 24_000 + 6_000 + 3_000 + 2_000 + 4_000 + 3_000


def test_compacting_time_after_time_does_not_grow_and_is_a_fold_of_the_log() -> None:
    records = numbered([asked("mend it"), *STANDING])
    compactor = Compactor()
    fold(records, compactor)
    sizes: list[int] = []
    for step in range(600):
        for event in [*edit(step), said("and so on")]:
            records.append(Record(len(records) + 1, 0.0, event))
            compactor.apply(records[-1])
        if step % 20 == 19:
            again = compact(records, 100)
            event = compactor.compact(100)
            assert isinstance(event, Compacted)
            assert event == again, "whoever opens the session later comes to the same"
            sizes.append(len(event.summary))
            records.append(Record(len(records) + 1, 0.0, event))
            compactor.apply(records[-1])
    assert max(sizes[-10:]) <= max(sizes[12:20]) + 200
