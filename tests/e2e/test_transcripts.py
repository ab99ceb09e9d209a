"""Transcripts that programs around the `claude` command read and write, with the public client as the judge."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from assay.sessions.claude.names import project_folder
from assay.sessions.claude.reader import read_lines
from assay.testing.server import Call, Reply, SeenRequest

from .command import Place
from .conftest import Serve

claude = pytest.importorskip("claude_agent_sdk", reason="the public client is not installed: scripts/setup.sh test")
LOOK = Call("@shell", {"command": "echo seen"})
TALK = [Reply("I look.", thinking="Hm.", calls=(LOOK,)), Reply("One."), Reply("Two."), Reply("Three.")]


@pytest.fixture
def config(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that `CLAUDE_CONFIG_DIR` names, for the command and for the client."""
    folder = place.root / "config"
    place.variables["CLAUDE_CONFIG_DIR"] = str(folder)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(folder))
    return folder


def test_folders_have_the_names_that_the_client_looks_for(tmp_path: Path) -> None:
    for name in ("a b.c", "é漢😀", "x" * 250, "y/" * 120 + "z", "it's_(1)"):
        directory = tmp_path / name
        assert project_folder(str(directory)) == claude.project_key_for_directory(str(directory))


def lines_of(config: Path, place: Place, session: str) -> list[dict]:
    path = config / "projects" / project_folder(str(place.project)) / f"{session}.jsonl"
    return list(read_lines(path))


def says(messages: list) -> list[str]:
    """What was said in messages as the client gives them, one word each."""
    found = []
    for message in messages:
        content = message.message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [block.get("text") or block["type"] for block in blocks]
    return found


@pytest.mark.slow
def test_the_client_reads_what_we_write(place: Place, serve: Serve, config: Path) -> None:
    server = serve(TALK)
    session = place.task(server, prompt="First question").expect(0).result["session_id"]
    place.task(server, "--continue", prompt="Second question").expect(0)
    (listed,) = claude.list_sessions(str(place.project))
    assert (listed.session_id, listed.summary, listed.first_prompt) == (session, "Second question", "First question")
    assert listed.cwd == str(place.project)
    messages = claude.get_session_messages(session, str(place.project))
    talk = ["First question", "thinking", "I look.", "tool_use", "tool_result", "One.", "Second question", "Two."]
    assert says(messages) == talk
    lines = [line for line in lines_of(config, place, session) if line["type"] == "assistant"]
    assert len({line["message"]["id"] for line in lines[:3]}) == 1
    assert {line["message"]["stop_reason"] for line in lines[:3]} == {"tool_use"}
    assert all(line["message"]["usage"]["output_tokens"] > 0 for line in lines)
    claude.rename_session(session, "A name", str(place.project))
    claude.tag_session(session, "a-tag", str(place.project))
    fork = claude.fork_session(session, str(place.project), up_to_message_id=messages[5].uuid).session_id
    place.task(server, "--resume", session, prompt="Third question").expect(0)
    told = claude.get_session_info(session, str(place.project))
    assert told is not None and (told.custom_title, told.tag) == ("A name", "a-tag")
    place.task(server, "--resume", fork, prompt="Another question").expect(0)
    assert says(claude.get_session_messages(fork))[-3:] == ["One.", "Another question", "Two."]
    claude.delete_session(session)
    assert [each.session_id for each in claude.list_sessions(str(place.project))] == [fork]


def test_what_is_shown_and_what_is_written_have_the_same_ids(place: Place, serve: Serve, config: Path) -> None:
    """Of the session and of its sub-agents; what sub-agents said is with them, and theirs with what called them."""

    def answer(seen: SeenRequest) -> Reply:
        if any(result.text for turn in seen.history for result in turn.results):
            return Reply("It is done.")
        if "look around" in seen.first_user_text():
            return Reply("I see.")
        errand = {"description": "an errand", "prompt": "look around", "subagent_type": "general-purpose"}
        return Reply("I send one.", calls=(Call("Agent", errand),))

    shown = ("--output-format", "stream-json", "--verbose", "--forward-subagent-text")
    lines = place.run(serve(answer), "-p", "Go", *shown).expect(0).lines
    session = lines[-1]["session_id"]
    wire = {line["uuid"]: line["parent_tool_use_id"] for line in lines if line["type"] in ("user", "assistant")}
    own = claude.get_session_messages(session, str(place.project))
    assert says(own) == ["Go", "I send one.", "tool_use", "tool_result", "It is done."]
    (agent,) = claude.list_subagents(session, str(place.project))
    theirs = claude.get_subagent_messages(session, agent, str(place.project))
    assert says(theirs) == ["look around", "I see."]
    assert {each.uuid: each.parent_tool_use_id for each in own if each.type == "assistant"}.items() <= wire.items()
    assert {each.uuid: each.parent_tool_use_id for each in theirs if each.type == "assistant"}.items() <= wire.items()
    assert len({each.parent_tool_use_id for each in theirs}) == 1 and theirs[0].parent_tool_use_id


def test_a_new_conversation_in_one_process_is_a_transcript_of_its_own(place: Place, serve: Serve, config: Path) -> None:
    said = ("First", "/clear", "Second")
    prompts = [{"type": "user", "message": {"role": "user", "content": text}} for text in said]
    driven = ("--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--session-mirror")
    sent = "".join(f"{json.dumps(each)}\n" for each in prompts)
    lines = place.run(serve(Reply("Yes.")), *driven, stdin=sent).expect(0).lines
    sessions = list(dict.fromkeys(line["session_id"] for line in lines if line["type"] == "result"))
    assert [says(claude.get_session_messages(each, str(place.project))) for each in sessions] == [
        ["First", "Yes."], ["Second", "Yes."],
    ]  # fmt: skip
    mirrored = [line for line in lines if line["type"] == "transcript_mirror"]
    assert [Path(line["filePath"]).stem for line in mirrored] == sorted(
        (Path(line["filePath"]).stem for line in mirrored), key=sessions.index
    )
    order = [line["type"] for line in lines if line["type"] in ("transcript_mirror", "result")]
    assert order[0] == "transcript_mirror" and order[-1] == "result"


def test_nothing_of_a_person_is_touched(place: Place, serve: Serve) -> None:
    theirs = place.home / ".claude"
    place.task(serve(TALK)).expect(0)
    assert not theirs.exists()


def foreign(path: Path, session: str, *, output: str = "from anywhere") -> None:
    """A transcript as another program writes it, with parallel calls, a line of a kind nobody knows, and rubble."""
    ids = [str(uuid.uuid4()) for _ in range(7)]

    def line(at: int, parent: int | None, kind: str, content: object, **more: object) -> dict:
        role: dict = {"role": kind, "content": content}
        if kind == "assistant":
            role |= {"id": more.pop("reply", f"msg_{at}"), "model": "claude-x", "usage": {"output_tokens": 3}}
        return {
            "parentUuid": None if parent is None else ids[parent],
            "isSidechain": False,
            "type": kind,
            "message": role,
            "uuid": ids[at],
            "timestamp": f"2026-01-01T00:00:0{at}.000Z",
            "sessionId": session,
            **more,
        }

    def use(name: str, call: str) -> dict:
        return {"type": "tool_use", "id": call, "name": name, "input": {"q": 1}}

    def answer(call: str, text: str) -> dict:
        return {"type": "tool_result", "tool_use_id": call, "content": text}

    lines: list[object] = [
        {"type": "mode", "mode": "normal"},
        line(0, None, "user", "Their question"),
        line(1, 0, "assistant", [use("WebFetch", "toolu_1")], reply="msg_p"),
        line(2, 1, "assistant", [use("Read", "toolu_2")], reply="msg_p"),
        line(3, 1, "user", [answer("toolu_1", output)]),
        line(4, 2, "user", [answer("toolu_2", "from a file")]),
        {"type": "attachment", "uuid": ids[6], "parentUuid": ids[4], "sessionId": session},
        line(5, 4, "assistant", [{"type": "text", "text": "Their answer"}, {"type": "odd"}]),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines) + "{broken\n")


@pytest.mark.parametrize("how", ["--resume", "--continue", "--fork-session"])
def test_a_session_of_another_program_goes_on(place: Place, serve: Serve, config: Path, how: str) -> None:
    session = str(uuid.uuid4())
    path = config / "projects" / project_folder(str(place.project)) / f"{session}.jsonl"
    foreign(path, session)
    server = serve(TALK)
    words = {"--resume": ("--resume", session), "--continue": ("--continue",)}
    more = words.get(how, ("--resume", session, "--fork-session"))
    result = place.task(server, *more, prompt="My question").expect(0).result
    assert (result["session_id"] == session) == (how != "--fork-session")
    history = server.requests[0].history
    assert [turn.text for turn in history if turn.role == "assistant" and turn.text] == ["Their answer"]
    body = json.dumps(server.requests[0].body)
    assert all(text in body for text in ("Their question", "from anywhere", "from a file", "My question"))
    notices = [event["text"] for event in place.events("notice")]
    assert any("1 x odd" in text and "went on from the transcript" in text for text in notices)
    labels = [event["label"]["integrity"] for event in place.events("result")[:2]]
    assert labels == ["external", "workspace"]
    talk = says(claude.get_session_messages(result["session_id"], str(place.project)))
    assert talk[:3] == ["Their question", "tool_use", "tool_use"]
    assert [each for each in talk if each != "odd"][-3:] == ["Their answer", "My question", "Two."]
    before = path.read_bytes()
    place.task(server, "--resume", result["session_id"], prompt="Again").expect(0)
    assert path.read_bytes().startswith(before)
    uuids = [line["uuid"] for line in lines_of(config, place, result["session_id"]) if "uuid" in line]
    assert len(uuids) == len(set(uuids))


def test_what_another_machine_added_comes_over(place: Place, serve: Serve, config: Path) -> None:
    """The same session goes on elsewhere, and comes back as a transcript only."""
    server = serve(TALK)
    session = place.task(server, prompt="Here").expect(0).result["session_id"]
    away = {"HOME": str(place.root / "elsewhere")}
    place.run(server, "-p", "There", "--resume", session, env=away).expect(0)
    place.task(server, "--resume", session, prompt="Here again").expect(0)
    said = [turn.text for turn in server.requests[-1].history if turn.role == "assistant" and turn.text]
    assert said == ["I look.", "One.", "Two."]
    talk = says(claude.get_session_messages(session))
    assert talk[-4:] == ["There", "Two.", "Here again", "Three."]


@pytest.mark.slow
def test_going_on_from_a_point(place: Place, serve: Serve, config: Path) -> None:
    server = serve([*TALK, Reply("Four.")])
    session = place.task(server, prompt="First").expect(0).result["session_id"]
    place.task(server, "--resume", session, prompt="Second").expect(0)
    messages = claude.get_session_messages(session)
    keep, dropped = messages[-3].uuid, messages[-2].uuid
    at = ("--resume", session, "--fork-session", "--resume-session-at", keep)
    wrong = place.task(server, *at, f"--resume-drops-turn={uuid.uuid4()}", prompt="Third")
    assert wrong.code == 1
    assert wrong.result["subtype"] == "error_during_execution"
    assert wrong.result["errors"][0].startswith("Resume rejected by --resume-drops-turn:")
    early = ("--resume", session, "--resume-session-at", messages[0].uuid, f"--resume-drops-turn={dropped}")
    assert place.task(server, *early, prompt="Third").code == 1
    assert place.task(server, *at, "--resume-drops-turn=", prompt="Third").code == 1
    assert len(place.logs) == 1
    forked = place.task(server, *at, f"--resume-drops-turn={dropped}", prompt="Third").expect(0).result["session_id"]
    prompts = [text for text in says(claude.get_session_messages(forked)) if text in ("First", "Second", "Third")]
    assert forked != session and prompts == ["First", "Third"]
    assert "Second" not in json.dumps(server.requests[-1].body)
    assert says(claude.get_session_messages(session))[-2:] == ["Second", "Two."]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--resume", str(uuid.UUID(int=7))), f"No conversation found with session ID: {uuid.UUID(int=7)}"),
        (("--session-id", "abc"), "--session-id takes a UUID"),
        (("--resume-session-at", str(uuid.UUID(int=7))), "--resume-session-at goes with"),
        (("--resume", "SESSION", "--session-id", str(uuid.UUID(int=7))), "needs --fork-session"),
        (("--session-id", "SESSION"), "is in use already"),
        (("--resume", "SESSION", "--resume-session-at", str(uuid.UUID(int=7))), "has no message with the uuid"),
    ],
)
def test_what_cannot_be_gone_on_with(place: Place, serve: Serve, config: Path, words: tuple, told: str) -> None:
    server = serve(TALK)
    session = place.task(server).expect(0).result["session_id"]
    asked = [word.replace("SESSION", session) for word in words]
    refused = place.task(server, *asked, prompt="Again")
    assert refused.code == 2 and told in refused.err, repr(refused)
    assert len(place.logs) == 1


DRIVEN = ("--input-format", "stream-json", "--output-format", "stream-json", "--verbose")
PROMPT = json.dumps({"type": "user", "message": {"role": "user", "content": "Hello"}}) + "\n"


@pytest.mark.slow
def test_a_host_is_told_by_exit_code_and_standard_error(place: Place, serve: Serve, config: Path) -> None:
    server = serve(Reply("Yes."))
    missing = str(uuid.UUID(int=7))
    gone = place.run(server, *DRIVEN, f"--resume={missing}", stdin=PROMPT).expect(1)
    (result,) = gone.lines
    assert (result["subtype"], result["is_error"], result["session_id"]) == ("error_during_execution", True, missing)
    assert gone.err.startswith(f"No conversation found with session ID: {missing}")
    wrong = place.run(server, *DRIVEN, "--session-id=abc", stdin=PROMPT).expect(1)
    assert wrong.out == "" and "UUID" in wrong.err
    fresh = place.run(server, *DRIVEN, "--continue", stdin=PROMPT).expect(0).lines
    assert fresh[-1]["result"] == "Yes.", "with nothing to continue, a host gets a new session"
    again = place.run(server, *DRIVEN, "--continue", stdin=PROMPT).expect(0).lines
    assert again[-1]["session_id"] == fresh[-1]["session_id"]


def test_a_chosen_id_and_a_session_that_leaves_nothing(place: Place, serve: Serve, config: Path) -> None:
    server = serve([Reply("One."), Reply("Two.")])
    chosen = str(uuid.uuid4())
    assert place.task(server, "--session-id", chosen, prompt="First").expect(0).result["session_id"] == chosen
    written = sorted(config.rglob("*.jsonl"))
    kept = place.logs[0].read_bytes()
    again = place.task(server, "--resume", chosen, "--no-session-persistence", prompt="Second").expect(0)
    assert again.result["session_id"] == chosen and "One." in json.dumps(server.requests[-1].body)
    assert sorted(config.rglob("*.jsonl")) == written and place.logs[0].read_bytes() == kept
    assert "Second" not in written[0].read_text()
    assert not list((place.root / "tmp").iterdir())
