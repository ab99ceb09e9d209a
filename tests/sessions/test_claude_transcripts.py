"""Transcripts: one fold of the log, read back as the same talk, and nothing that a reader can't bear."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import inputs

from assay.core.check import Verdict
from assay.core.events import (
    CallFinished,
    Compacted,
    Event,
    InputReceived,
    ModelReplied,
    SessionStarted,
    TaskEnded,
    TaskStarted,
    TurnEnded,
)
from assay.core.messages import AssistantMessage, Image, Json, Text, Thinking, ToolResult
from assay.core.policy import EXTERNAL, WORKSPACE
from assay.core.store import Record
from assay.sessions.claude.imported import Found, events_of
from assay.sessions.claude.lines import About, Line, Projection
from assay.sessions.claude.names import Place, branch_of, find_place, project_folder
from assay.sessions.claude.reader import conversation, read_lines, text_of
from assay.sessions.claude.writer import Transcript
from assay.sessions.fold import History
from assay.sessions.log import SessionLog
from assay.testing import MemoryStore, call, reply
from assay.testing.conformance.store import every_event

SESSION = "01a1fefd-0000-7000-8000-000000000001"
TALK = {"user", "assistant"}


def log_of(*events: Event) -> list[Record]:
    return [Record(number, 1000.0 + number, event) for number, event in enumerate(events, 1)]


def lines_of(records: list[Record]) -> list[Line]:
    projection = Projection(About(SESSION, "/project", "main", "0.1"))
    return [line for record in records for line in projection.apply(record)]


def said(text: str) -> InputReceived:
    return InputReceived("t", (Text(text),), "m")


def answered(text: str, *calls: str) -> ModelReplied:
    return ModelReplied(1, reply(text, [call("Bash", id=name) for name in calls]))


def result(name: str, text: str = "ok") -> CallFinished:
    return CallFinished(ToolResult(name, (Text(text),)))


def ended() -> TurnEnded:
    return TurnEnded("t", Verdict("answered", "fine"), "", 1, 0.1)


def told(records: list[Record]) -> list[object]:
    """What a log's history says, in short."""
    history = History()
    for record in records:
        history.apply(record)
    short: list[object] = []
    for message in history.messages():
        for part in message.parts:
            if isinstance(part, ToolResult):
                short.append((part.call, list(part.content), part.is_error))
            elif not isinstance(part, Thinking):
                short.append(part)
    return short


def taken_over(lines: list[Line]) -> list[Record]:
    return log_of(SessionStarted(SESSION, "/project", "0.1"), *events_of(conversation(lines), 2, Found()))


def test_every_kind_of_record_gives_lines_that_chain() -> None:
    lines = lines_of(log_of(*every_event()))
    assert lines == lines_of(log_of(*every_event()))
    talk = [line for line in json.loads(json.dumps(lines)) if "uuid" in line]
    assert len({line["uuid"] for line in talk}) == len(talk) > 5
    known = {None, *(line["uuid"] for line in talk)}
    assert all(line["parentUuid"] in known and line["timestamp"].endswith("Z") for line in talk)
    assert {"user", "assistant", "system", "file-history-snapshot"} <= {line["type"] for line in lines}


def test_an_id_is_that_of_the_log_and_stays_with_a_fork() -> None:
    records = log_of(SessionStarted("a" * 8, "/", ""), said("one"), answered("two"))
    fork = [*records, Record(4, 2000.0, SessionStarted(SESSION, "/", "", "a" * 8)), Record(5, 2001.0, said("three"))]
    lines = lines_of(fork)
    assert [line["uuid"] for line in lines[:2]] == [line["uuid"] for line in lines_of(records)]
    assert [("forkedFrom" in line) for line in lines] == [True, True, False]
    later = [Record(record.number, record.time + 1, record.event) for record in records]
    assert {str(line["uuid"]) for line in lines_of(later)}.isdisjoint(str(line["uuid"]) for line in lines)


def test_a_talk_comes_back_as_it_was() -> None:
    image = InputReceived("t", (Text("look"), Image("image/png", "aGk=")), "m", EXTERNAL)
    thinking = AssistantMessage((Thinking("hm", "sig"), Text("I see."), call("Bash", id="d")), "calls", "m")
    records = log_of(
        SessionStarted(SESSION, "/", ""),
        said("one"),
        answered("I act.", "a", "b"),
        CallFinished(ToolResult("b", (Text("no"),), is_error=True), label=EXTERNAL),
        result("a"),
        answered("Done."),
        ended(),
        image,
        ModelReplied(1, thinking),
        result("d"),
        answered("Seen."),
        ended(),
    )
    back = taken_over(lines_of(records))
    assert told(back) == told(records)
    labels = [record.event.label for record in back if isinstance(record.event, CallFinished)]
    assert labels == [EXTERNAL, WORKSPACE, WORKSPACE]
    assert [record.event.uuid for record in back if isinstance(record.event, InputReceived)] == [
        line["uuid"] for line in lines_of(records) if line["type"] == "user" and "result" not in str(line["message"])
    ]
    ids = [line["uuid"] for line in lines_of(records)]
    assert [line["uuid"] for line in lines_of(back)] == ids, "lines of a session taken over keep their ids"


def test_after_a_compaction_the_summary_and_what_was_kept_come_back() -> None:
    records = log_of(
        SessionStarted(SESSION, "/", ""), said("old"), answered("older"), said("kept"), answered("kept too"),
        Compacted("summary", 4), said("new"), answered("newer"), ended(),
    )  # fmt: skip
    lines = lines_of(records)
    boundary = next(line for line in lines if line.get("subtype") == "compact_boundary")
    assert boundary["parentUuid"] is None and boundary["logicalParentUuid"]
    assert told(taken_over(lines)) == told(records)
    assert "old" not in str(told(taken_over(lines)))


events = st.lists(
    st.one_of(
        st.text(max_size=8).map(said),
        st.tuples(st.text(max_size=8), st.sets(st.sampled_from("abc"), max_size=3)).map(
            lambda each: answered(each[0] or "x", *sorted(each[1]))
        ),
        st.tuples(st.sampled_from("abc"), st.text(max_size=8)).map(lambda each: result(*each)),
        st.integers(1, 12).map(lambda number: Compacted("summary", number)),
        st.just(ended()),
    ),
    max_size=14,
)


@given(events)
def test_any_log_gives_lines_that_any_reader_bears(some: list[Event]) -> None:
    lines = lines_of(log_of(SessionStarted(SESSION, "/", ""), *some))
    talk = [line for line in lines if "uuid" in line]
    assert len({str(line["uuid"]) for line in talk}) == len(talk)
    back = told(taken_over(json.loads(json.dumps(lines))))
    assert isinstance(back, list)


@given(st.lists(st.text(max_size=20).filter(str.strip), min_size=1, max_size=6), st.booleans())
def test_what_was_said_comes_back(texts: list[str], whole: bool) -> None:
    some = [event for text in texts for event in (said(text), answered(f"re {text}"), ended())]
    records = log_of(SessionStarted(SESSION, "/", ""), *(some if whole else some[:-1]))
    assert told(taken_over(json.loads(json.dumps(lines_of(records))))) == told(records)


words = st.sampled_from(["user", "assistant", "system", "text", "tool_use", "tool_result", "a", "b"])
keys = st.sampled_from(
    ["type", "uuid", "parentUuid", "message", "content", "id", "tool_use_id", "compactMetadata", "uuids", "text"]
)
leaf = words | st.none() | st.integers(0, 3)
inner = st.dictionaries(keys, leaf | st.lists(leaf, max_size=2), max_size=4)
junk = st.dictionaries(keys, leaf | inner | st.lists(leaf | inner, max_size=3), max_size=6)


@settings(max_examples=inputs(60))
@given(st.lists(junk, max_size=5))
def test_any_objects_are_read_without_a_fault(lines: list[Line]) -> None:
    for event in events_of(conversation(lines), 2, Found()):
        assert event is not None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_a_fault(data: bytes) -> None:
    descriptor = os.memfd_create("transcript")
    try:
        os.write(descriptor, data)
        assert all(isinstance(line, dict) for line in read_lines(Path(f"/proc/self/fd/{descriptor}")))
    finally:
        os.close(descriptor)


def test_parallel_results_that_hang_on_their_own_calls_come_back() -> None:
    def line(uuid: str, parent: str, kind: str, blocks: list[Json], reply: str = "") -> Line:
        message: Json = {"role": kind, "content": blocks, **({"id": reply, "model": "m"} if reply else {})}
        return {"type": kind, "uuid": uuid, "parentUuid": parent or None, "message": message}

    def use(name: str) -> Json:
        return {"type": "tool_use", "id": name, "name": "Read", "input": {}}

    def answer(name: str) -> Json:
        return {"type": "tool_result", "tool_use_id": name, "content": f"r{name}"}

    lines = [
        line("1", "", "user", [{"type": "text", "text": "go"}]),
        line("2", "1", "assistant", [use("a")], "msg"),
        line("3", "2", "assistant", [use("b")], "msg"),
        line("4", "2", "user", [answer("a")]),
        line("5", "3", "user", [answer("b")]),
        line("6", "5", "assistant", [{"type": "text", "text": "done"}], "other"),
    ]
    back = told(taken_over(lines))
    assert [each[0] for each in back if isinstance(each, tuple)] == ["a", "b"]


# --- files ------------------------------------------------------------------------------------------------------------


def place_in(tmp_path: Path) -> Place:
    return Place(tmp_path / "config/projects", "key", True)


def transcript(tmp_path: Path, store: MemoryStore | SessionLog, **more: bool) -> Transcript:
    return Transcript(place_in(tmp_path), About(SESSION), store.records, lambda _call, _finished: None, **more)


def test_lines_are_there_with_their_records_and_once(tmp_path: Path) -> None:
    store = MemoryStore(SESSION)
    store.append(SessionStarted(SESSION, "/", ""))
    store.append(said("before"))
    for _ in range(2):
        writer = transcript(tmp_path, store)
        for event in (said("one"), answered("two"), ended()):
            writer(store.append(event))
    lines = list(read_lines(writer.path))
    turn = ["user", "assistant", "last-prompt"]
    assert [text_of(line, "type") for line in lines] == ["user", *turn, *turn]
    assert len(conversation(lines)) == 5
    assert writer.path.stat().st_mode & 0o077 == 0


def test_a_torn_line_of_somebody_is_not_continued(tmp_path: Path) -> None:
    store = MemoryStore(SESSION)
    writer = transcript(tmp_path, store)
    writer.path.parent.mkdir(parents=True)
    writer.path.write_bytes(b'{"type":"us')
    writer(store.append(said("one")))
    assert [text_of(line, "type") for line in read_lines(writer.path)] == ["user"]


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    store = MemoryStore(SESSION)
    (tmp_path / "config").write_text("in the way")
    writer = transcript(tmp_path, store)
    troubles: list[str] = []
    mirrored: list[Line] = []
    writer.trouble = troubles.append
    writer.mirror = lambda _path, lines: mirrored.extend(lines)
    for event in (said("one"), answered("two"), ended()):
        writer(store.append(event))
    assert len(troubles) == 1 and "can't be written" in troubles[0]
    assert [line["type"] for line in mirrored] == ["user", "assistant", "last-prompt"]


@pytest.mark.parametrize("keeps", [True, False])
def test_a_mirror_gets_what_is_written_in_lines_that_a_host_bears(tmp_path: Path, keeps: bool) -> None:
    store = MemoryStore(SESSION)
    writer = transcript(tmp_path, store, keeps=keeps)
    frames: list[tuple[str, list[Line]]] = []
    writer.mirror = lambda path, lines: frames.append((path, lines))
    parts = (*(Text("é" * 200_000) for _ in range(3)), Image("image/png", "a" * 900_000))
    huge = AssistantMessage((Text("y" * 3_000_000), Text("z" * 300_000), Text("z" * 300_000)), "end", "m")
    for event in (said("one"), ModelReplied(1, huge), CallFinished(ToolResult("a", parts)), ended()):
        writer(store.append(event))
    assert {path for path, _ in frames} == {str(writer.path)}
    assert max(len(json.dumps(frame)) for frame in frames) < 1_000_000
    assert writer.path.exists() == keeps
    if keeps:
        assert [line for _, lines in frames for line in lines] == list(read_lines(writer.path))


def test_a_name_that_was_given_is_said_again_near_the_end(tmp_path: Path) -> None:
    store = MemoryStore(SESSION)
    writer = transcript(tmp_path, store)
    writer(store.append(said("one")))
    with writer.path.open("a") as file:
        file.write('{"type":"custom-title","customTitle":"Mine"}\n')
    for event in (ModelReplied(1, reply("x" * 40_000)), ended()):
        writer(store.append(event))
    assert list(read_lines(writer.path))[-1]["customTitle"] == "Mine"


def agent_log(path: Path, *events: Event) -> str:
    log = SessionLog.create(path)
    for event in (SessionStarted(path.stem, "/", ""), *events):
        log.append(event)
    log.close()
    return str(path)


def test_sub_agents_have_transcripts_of_their_own(tmp_path: Path) -> None:
    inner = agent_log(tmp_path / "logs/i.jsonl", said("deeper"), answered("deep"), ended())
    started = TaskStarted("i2", "agent", "look deeper", "c2", inner, "explorer")
    outer = agent_log(tmp_path / "logs/o.jsonl", said("look"), started, answered("seen"), ended())
    store = MemoryStore(SESSION)
    frames: list[tuple[str, list[Line]]] = []
    for _ in range(2):
        writer = transcript(tmp_path, store)
        writer.mirror = lambda path, lines: frames.append((Path(path).name, lines))
        for event in (
            said("one"),
            TaskStarted("o1", "agent", "look around", "c1", outer, "explorer"),
            TaskEnded("o1", "completed", "seen"),
            ended(),
        ):
            writer(store.append(event))
    folder = writer.path.with_suffix("") / "subagents"
    assert sorted(each.name for each in folder.iterdir()) == [
        "agent-i2.jsonl", "agent-i2.meta.json", "agent-o1.jsonl", "agent-o1.meta.json",
    ]  # fmt: skip
    about = json.loads((folder / "agent-i2.meta.json").read_text())
    assert (about["parentAgentId"], about["toolUseId"], about["agentType"]) == ("o1", "c2", "explorer")
    lines = list(read_lines(folder / "agent-o1.jsonl"))
    assert {line["sessionId"] for line in lines} == {SESSION} and all(line["isSidechain"] for line in lines)
    assert [line["type"] for line in lines] == ["user", "assistant"]
    assert [lines[0]["type"] for name, lines in frames if name == "agent-o1.jsonl"] == ["agent_metadata", "user"]


def test_where_transcripts_lie(tmp_path: Path) -> None:
    here = tmp_path / "a b.c"
    here.mkdir()
    key = project_folder(str(here))
    assert key.endswith("-a-b-c") and "/" not in key and key.startswith("-")
    long = project_folder("/" + "x" * 300)
    assert len(long) > 200 and long[:200] == "-" + "x" * 199 and long[200] == "-"
    named = find_place({"CLAUDE_CONFIG_DIR": str(tmp_path), "HOME": "/nowhere"}, str(here))
    own = find_place({"HOME": "/nowhere"}, str(here))
    assert named and own and (named.writable, own.writable) == (True, False)
    assert find_place({}, str(here)) is None
    other = {"CLAUDE_CONFIG_DIR": str(tmp_path), "CLAUDE_CODE_PROJECT_DIR_NAME": "chosen"}
    assert getattr(find_place(other, str(here)), "folder", "") == "chosen"
    other["CLAUDE_CODE_PROJECT_DIR_NAME"] = "../up"
    assert getattr(find_place(other, str(here)), "folder", "") == key


def test_the_branch_is_read_where_git_keeps_it(tmp_path: Path) -> None:
    assert branch_of(str(tmp_path)) == ""
    (tmp_path / "repo/.git").mkdir(parents=True)
    (tmp_path / "repo/.git/HEAD").write_text("ref: refs/heads/feature/x\n")
    (tmp_path / "repo/sub").mkdir()
    assert branch_of(str(tmp_path / "repo/sub")) == "feature/x"
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.git").write_text(f"gitdir: {tmp_path / 'repo/.git'}\n")
    assert branch_of(str(tmp_path / "tree")) == "feature/x"
    (tmp_path / "repo/.git/HEAD").write_text("0" * 40)
    assert branch_of(str(tmp_path / "repo")) == "HEAD"
