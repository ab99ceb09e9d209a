"""The stored sessions as a whole: listed, found, forked, exported, deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.core.check import Verdict
from assay.core.errors import SessionBusy, UsageError
from assay.core.events import (
    AttemptSelected,
    CallFinished,
    Checkpointed,
    ContextAdded,
    InputReceived,
    ModeChanged,
    Noticed,
    Rewound,
    SessionStarted,
    TaskEnded,
    TaskStarted,
    TurnEnded,
)
from assay.core.messages import Text, ToolResult
from assay.sessions.index import Sessions, project_key
from assay.sessions.line import payload_of
from assay.sessions.reader import LogReader
from assay.sessions.transcript import export_events, export_markdown
from assay.testing import FakeClock
from assay.testing.conformance.store import every_event

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(tmp_path: Path, clock: FakeClock) -> Sessions:
    return Sessions(tmp_path / "state", version="0.1", clock=clock)


def made(sessions: Sessions, directory: Path, prompt: str, session: str = "") -> str:
    log = sessions.create(str(directory), session)
    log.append(ContextAdded("environment", "card " * 20_000))
    log.append(InputReceived("t", (Text(prompt),)))
    log.append(CallFinished(ToolResult("c", (Text("x" * 50_000),))))
    log.append(TurnEnded("t", Verdict("verified", "green"), "Done.", 1, 1.0))
    log.close()
    return log.session


def test_sessions_are_listed_last_used_first_and_by_project(
    sessions: Sessions, tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("one")
    first = made(sessions, tmp_path / "one", "first\nthing")
    clock.advance(10)
    other = made(sessions, tmp_path / "two", "other")
    clock.advance(10)
    log = sessions.open(first)
    log.append(InputReceived("u", (Text("more"),)))
    log.close()
    found = sessions.summaries()
    assert [each.session for each in found] == [first, other]
    assert (found[0].title, found[0].outcome, found[0].cwd) == ("first thing", None, str(tmp_path / "one"))
    assert (found[1].title, found[1].outcome) == ("other", "verified")
    assert found[0].updated - found[0].started == 20
    assert [each.session for each in sessions.summaries(str(tmp_path / "link"))] == [first]
    assert sessions.latest(str(tmp_path / "two")) == other
    with pytest.raises(UsageError, match="no session to continue"):
        sessions.latest(str(tmp_path))


def test_keys_are_readable_and_differ() -> None:
    assert project_key("/home/me/my project").startswith("home-me-my-project-")
    assert project_key("/a/b") != project_key("/a-b")
    assert project_key("/").startswith("root-")
    assert len(project_key("/x" * 500)) < 60


def test_logs_that_are_not_readable_do_not_hide_the_others(sessions: Sessions, tmp_path: Path) -> None:
    good = made(sessions, tmp_path, "good")
    folder = sessions.find(good).parent
    (folder / "empty.jsonl").write_bytes(b"")
    (folder / "rubbish.jsonl").write_bytes(b"\0" * 100)
    (folder / "folder.jsonl").mkdir()
    torn = folder / "torn.jsonl"
    torn.write_bytes(sessions.find(good).read_bytes()[:-20])
    found = {each.session: each for each in sessions.summaries()}
    assert set(found) == {good, "torn"}
    assert found["torn"].title == "good"
    assert found["torn"].outcome is None


def test_a_prefix_finds_one_session_or_says_why_not(sessions: Sessions, tmp_path: Path) -> None:
    for name in ("abc", "abd", "ab"):
        made(sessions, tmp_path, "x", name)
    assert sessions.find("abc").stem == "abc"
    assert sessions.find("ab").stem == "ab", "a whole id is never ambiguous"
    with pytest.raises(UsageError, match="3 sessions begin with 'a'"):
        sessions.find("a")
    for bad in ("zz", "", "../state", "a*", "abc/../abd"):
        with pytest.raises(UsageError, match="no session"):
            sessions.find(bad)
    with pytest.raises(UsageError, match="bad session id"):
        sessions.create(str(tmp_path), "../x")
    with pytest.raises(UsageError, match="exists already"):
        sessions.create(str(tmp_path / "elsewhere"), "abc")


def test_a_fork_begins_with_all_or_some_records_and_keeps_what_is_unknown(sessions: Sessions, tmp_path: Path) -> None:
    log = sessions.create(str(tmp_path), "source")
    log.close()
    path = sessions.find("source")
    path.write_bytes((GOLDEN / "v1_newer.jsonl").read_bytes())
    before = [payload_of(line.body) for line in LogReader(path).lines()]
    fork = sessions.fork("source")
    copied = [payload_of(line.body) for line in LogReader(fork.path).lines()]
    assert copied[:-1] == before
    assert list(fork.records())[-1].event == SessionStarted(fork.session, "/project", "0.1", "source")
    assert fork.append(Noticed("on")).number == 7
    fork.close()
    short = sessions.fork("source", upto=2)
    assert [r.number for r in short.records()] == [1, 2, 3]
    short.close()
    assert LogReader(path).notices == []
    assert [payload_of(line.body) for line in LogReader(path).lines()] == before, "the source is left alone"


def test_a_fork_of_a_damaged_session_says_what_it_left_behind(sessions: Sessions, tmp_path: Path) -> None:
    name = made(sessions, tmp_path, "x")
    path = sessions.find(name)
    data = path.read_bytes().replace(b'"turn":"t","parts"', b'"turn":"T","parts"')
    path.write_bytes(data)
    fork = sessions.fork(name)
    *_, last = fork.records()
    assert isinstance(last.event, Noticed)
    assert "1 records are missing" in last.event.text
    fork.close()
    again = sessions.open(fork.session)
    assert again.notices == []
    assert [r.number for r in again.records()] == [1, 2, 4, 5, 6, 7]
    again.close()


def test_deleting_takes_the_spilled_output_along_and_spares_what_is_in_use(
    sessions: Sessions, tmp_path: Path, clock: FakeClock
) -> None:
    old, busy = made(sessions, tmp_path, "old"), made(sessions, tmp_path, "busy")
    clock.advance(100)
    new = made(sessions, tmp_path, "new")
    spill = sessions.find(old).with_suffix("")
    spill.mkdir()
    (spill / "output").write_text("long")
    holder = sessions.open(busy)
    with pytest.raises(SessionBusy):
        sessions.delete(busy)
    assert sessions.delete_older(50) == [old]
    assert not spill.exists()
    holder.close()
    assert sessions.delete(busy[:-1]) == busy
    assert sessions.delete(new) == new
    assert list(sessions.folder.iterdir()) == []


def test_exports_are_safe_to_print_and_complete(sessions: Sessions, tmp_path: Path) -> None:
    log = sessions.create(str(tmp_path))
    for event in every_event():
        log.append(event)
    log.append(CallFinished(ToolResult("x", (Text("\x1b]52;c;x\x07 ``` \ud800\n" * 100),))))
    log.close()
    lines = [json.loads(line) for line in export_events(sessions.read(log.session).lines())]
    assert [each["number"] for each in lines] == list(range(1, 26))
    assert lines[2]["event"]["parts"][0] == {"type": "text", "text": "mend b"}
    text = "".join(export_markdown(sessions.read(log.session).records()))
    for expected in (
        "# Session s",
        "mend b",
        "[image, image/png]",
        "I edit.",
        '"path": "a.py"',
        "**verified**",
        "Evidence B",
    ):
        assert expected in text
    assert "\x1b" not in text
    assert "\ud800" not in text
    assert "[60 more lines]" in text
    assert "````" in text, "the fence is longer than any within"


def test_old_logs_load_for_ever() -> None:
    reader = LogReader(GOLDEN / "v1.jsonl")
    records = list(reader.records())
    assert reader.notices == []
    later = Checkpointed, Rewound, ModeChanged, TaskStarted, TaskEnded, AttemptSelected
    then = [event for event in every_event() if not isinstance(event, later) and not getattr(event, "log", "")]
    assert [record.event for record in records] == [*then, ContextAdded("odd", "\u2028 \ud800 é 😀")]


def test_what_is_unknown_is_skipped_told_and_kept() -> None:
    reader = LogReader(GOLDEN / "v1_newer.jsonl")
    assert [record.number for record in reader.records()] == [1, 2, 5]
    assert len(reader.notices) == 1
    assert "2 records of kinds that this version does not know" in reader.notices[0]
