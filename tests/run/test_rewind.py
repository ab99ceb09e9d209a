"""Going back: the conversation, the files, or both, whatever changed them, and nothing of others is lost."""

from __future__ import annotations

import pytest

from assay.core.errors import UsageError
from assay.core.events import Checkpointed, Framed, InputReceived, Rewound, TurnEnded
from assay.core.messages import Text, UserMessage
from assay.core.policy import EXTERNAL
from assay.core.store import Record
from assay.run.rewind import find_turn, rewind, turns_of
from assay.run.run import Run
from assay.testing import reply

from .house import House, words, write


def said(run: Run) -> list[str]:
    """What the user's side said, as the next request shows it."""
    return [
        part.text
        for message in run.state.messages()
        if isinstance(message, UserMessage)
        for part in message.parts
        if isinstance(part, Text)
    ]


async def two_turns() -> tuple[House, Run]:
    house = House(
        reply("", [write("one\n", "b.txt")]),
        reply("first done"),
        reply("", [write("two\n", "c.txt")]),
        reply("second done"),
    )
    run = house.run()
    await run.turn(words("make b"))
    await run.turn(words("make c"))
    return house, run


async def test_files_and_conversation_go_back_together() -> None:
    house, run = await two_turns()
    done = await rewind(run)
    assert [change.path for change in done.files] == ["c.txt"]
    assert "c.txt" not in house.workspace.files
    assert house.workspace.files["b.txt"] == b"one\n"
    assert "make b" in said(run)
    assert "make c" not in said(run)


async def test_to_the_first_turn_takes_back_all_that_was_made() -> None:
    house, run = await two_turns()
    await rewind(run, "1")
    assert set(house.workspace.files) == {"a.txt"}
    assert run.state.messages() == []


async def test_only_files_or_only_the_conversation() -> None:
    house, run = await two_turns()
    await rewind(run, "2", conversation=False)
    assert "c.txt" not in house.workspace.files
    assert "make c" in said(run)
    house, run = await two_turns()
    await rewind(run, "2", files=False)
    assert "c.txt" in house.workspace.files
    assert "make c" not in said(run)


async def test_what_others_changed_between_turns_stays() -> None:
    house, run = await two_turns()
    house.workspace.files["mine.txt"] = b"by hand\n"
    done = await rewind(run, "1")
    assert house.workspace.files["mine.txt"] == b"by hand\n"
    assert done.others == ()


async def test_an_edit_by_hand_of_the_same_file_is_named_and_kept_in_the_checkpoint() -> None:
    house, run = await two_turns()
    house.workspace.files["c.txt"] = b"mended by hand\n"
    done = await rewind(run)
    assert done.others == ("c.txt",)
    assert "c.txt" not in house.workspace.files
    assert await house.workspace.read_at(done.checkpoint, "c.txt") == b"mended by hand\n"
    order = [type(event) for event in house.events if isinstance(event, Checkpointed | Rewound)]
    assert order == [Checkpointed, Rewound]


async def test_a_dry_run_changes_nothing() -> None:
    house, run = await two_turns()
    before, count = dict(house.workspace.files), len(house.log)
    done = await rewind(run, "1", dry=True)
    assert {change.path for change in done.files} == {"b.txt", "c.txt"}
    assert house.workspace.files == before
    assert len(house.log) == count


async def test_a_resumed_session_stays_rewound_and_the_next_turn_builds_on_it() -> None:
    house, run = await two_turns()
    await rewind(run)
    again = house.run()
    assert again.state.messages() == run.state.messages()
    assert [turn.event.parts[0] for turn in turns_of(iter(house.log))] == [Text("make b")]


async def test_the_label_is_not_cleaned_by_going_back() -> None:
    house = House(reply("done"), reply("done"))
    run = house.run()
    await run.turn(words("one"))
    await run.turn(words("two"), label=EXTERNAL)
    await rewind(run)
    assert run.state.label.integrity == "external"
    assert house.run().state.label.integrity == "external"


async def test_a_turn_that_continued_one_that_was_cut_short_has_a_start_of_its_own() -> None:
    house = House(reply("", [write("one\n", "b.txt")]), reply("", [write("two\n", "c.txt")]), reply("done"))
    run = house.run()

    def stop(seen: object) -> None:
        if isinstance(seen, Record) and isinstance(seen.event, Framed):
            run.interrupt()

    run.bus.subscribe(stop)
    ended = await run.turn(words("make b"))
    assert ended.verdict.outcome == "interrupted"
    house.workspace.files["b.txt"] = b"one\n"
    run = house.run()
    run.state.touched = True
    await run.turn(words("go on"))
    await rewind(run)
    assert "c.txt" not in house.workspace.files
    assert house.workspace.files["b.txt"] == b"one\n"


def turned(*names: str) -> list[Record]:
    events = [InputReceived(name, (Text(name),), uuid=f"u-{name}") for name in names]
    return [Record(number, 0.0, event) for number, event in enumerate(events, 2)]


def test_a_turn_is_found_by_message_by_id_and_by_place() -> None:
    turns = turns_of(iter(turned("aaaa-1", "aaab-2", "bbbb-3")))
    assert [find_turn(turns, name) for name in ("", "u-aaab-2", "bbbb", "1", "-1", "-3")] == [2, 1, 2, 0, 2, 0]
    for wrong in ("aaa", "aaaa-9", "0", "4", "-4", "x" * 500):
        with pytest.raises(UsageError, match="no message"):
            find_turn(turns, wrong)
    with pytest.raises(UsageError, match="no turn yet"):
        find_turn([], "")


async def test_going_back_twice_counts_from_what_is_left() -> None:
    _, run = await two_turns()
    await rewind(run)
    await rewind(run)
    assert turns_of(run.parts.store.records()) == []
    with pytest.raises(UsageError, match="no turn yet"):
        await rewind(run)
    assert not any(isinstance(message, TurnEnded) for message in run.state.messages())
