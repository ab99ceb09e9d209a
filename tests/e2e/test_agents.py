"""Sub-agents and background work as a user meets them: through the real command, against a scripted server."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.sessions.reader import LogReader
from assay.testing.server import Call, Reply, SeenRequest

from .command import Place, interrupt, wait_for
from .conftest import Serve

LONG = 60.0


def cast(**parts: list[Reply]) -> Callable[[SeenRequest], Reply]:
    """Each conversation is played by the part whose name its first message has as a word; its replies in order, the
    last one again and again."""

    def answer(seen: SeenRequest) -> Reply:
        opened = seen.history[0].text.split()
        own = next(name for name in parts if name in opened)
        done = sum(turn.role == "assistant" for turn in seen.history)
        return parts[own][min(done, len(parts[own]) - 1)]

    return answer


def send(prompt: str, kind: str = "general-purpose", **more: object) -> Call:
    return Call("Agent", {"description": "an errand", "prompt": prompt, "subagent_type": kind, **more})


def background(line: str) -> Call:
    return Call("Bash", {"command": line, "run_in_background": True, "description": "a server"})


def children(place: Place) -> list[Path]:
    return sorted(place.state.glob("sessions/*/*/agents/agent-*.jsonl"))


def test_an_agent_mends_and_the_whole_is_proved(place: Place, serve: Serve) -> None:
    place.five_step()
    fix = Call("@edit", {"path": "calc.py", "old": "return a - b", "new": "return a + b"})
    worker = [
        Reply("Look.", calls=(Call("@read", {"path": "calc.py"}),)),
        Reply("Mend.", calls=(fix,)),
        Reply("Mended."),
    ]
    server = serve(
        cast(BOSS=[Reply("I delegate.", calls=(send("WORKER mend calc.py"),)), Reply("All done.")], WORKER=worker)
    )
    ended = place.task(server, "--check", "python3 test_calc.py", prompt="BOSS go").expect(0, "verified")
    assert ended.result["result"] == "All done."
    tokens = ended.result["assay"]["tokens"]
    assert set(tokens["by_role"]) == {"solver", "agent general-purpose"}
    assert sum(tokens["by_role"].values()) == tokens["total"]
    (child,) = children(place)
    assert not LogReader(child).notices
    [result] = [result for turn in server.requests[-1].history for result in turn.results]
    assert result.text.startswith("Mended.\n[agent ")
    assert not any("Mend." in turn.text for turn in server.requests[-1].history), "its steps stay its own"


def test_what_an_agent_does_is_shown_under_its_call(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "x\n"})
    worker = [Reply("Look.", calls=(Call("@read", {"path": "a.txt"}),)), Reply("It says x.")]
    server = serve(cast(BOSS=[Reply("", calls=(send("WORKER read", "Explore"),)), Reply("x")], WORKER=worker))
    ended = place.run(server, "-p", "BOSS go", "--output-format", "stream-json").expect(0)
    call = next(
        b["id"]
        for m in ended.lines
        if m["type"] == "assistant"
        for b in m["message"]["content"]
        if b["type"] == "tool_use"
    )
    said = [m for m in ended.lines if m.get("parent_tool_use_id") == call]
    assert [m["type"] for m in said] == ["assistant", "assistant", "user", "assistant"]
    assert {m["subagent_type"] for m in said} == {"Explore"}
    assert said[-1]["message"]["content"] == [{"type": "text", "text": "It says x."}]
    (started,) = [m for m in ended.lines if m.get("subtype") == "task_started"]
    (told,) = [m for m in ended.lines if m.get("subtype") == "task_notification"]
    assert (started["task_type"], started["tool_use_id"]) == ("local_agent", call)
    assert (told["task_id"], told["status"], told["summary"]) == (started["task_id"], "completed", "It says x.")
    offered = {tool.name for tool in server.requests[1].tools}
    assert {"Read", "Bash"} <= offered
    assert not {"Edit", "Write", "Agent", "finish"} & offered, "an explorer changes nothing"


def test_the_command_waits_for_agents_in_the_background(place: Place, serve: Serve) -> None:
    boss = [Reply("", calls=(send("WORKER look", run_in_background=True),)), Reply("Waiting."), Reply("It found 42.")]
    server = serve(cast(BOSS=boss, WORKER=[Reply("42", delay=1.0)]))
    ended = place.run(server, "-p", "BOSS go", "--output-format", "stream-json").expect(0)
    results = [m for m in ended.lines if m["type"] == "result"]
    assert [m["result"] for m in results] == ["Waiting.", "It found 42."]
    assert results[1]["origin"] == {"kind": "task-notification"}
    assert [m["subtype"] for m in ended.lines if m["type"] == "system"].count("init") == 2
    assert "42" in server.requests[-1].history[-1].text
    last = place.run(server, "-p", "BOSS go", "--output-format", "json").expect(0)
    assert last.result["result"] == "It found 42.", "one object, that of the end"


def test_an_agent_that_never_ends_is_not_waited_for_for_ever(place: Place, serve: Serve) -> None:
    boss = [Reply("", calls=(send("WORKER look", run_in_background=True),)), Reply("Waiting.")]
    server = serve(cast(BOSS=boss, WORKER=[Reply("late", delay=300.0)]))
    began = time.monotonic()
    ended = place.task(server, prompt="BOSS go", env={"CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS": "300"})
    ended.expect(0, "answered")
    assert time.monotonic() - began < LONG
    assert [event["status"] for event in place.events("task_ended")] == ["stopped"]


@pytest.mark.parametrize("words", [(), ("--no-sandbox",)], ids=["confined", "unconfined"])
def test_a_command_in_the_background(place: Place, serve: Serve, words: tuple[str, ...]) -> None:
    """It goes on while others run, wakes the session at its end, and what never ends goes with the program."""
    place.write({"a.txt": "x\n"})
    boss = [
        Reply("", calls=(background("while ! test -e go; do sleep 0.05; done; sleep 1; echo served; exit 3"),)),
        Reply("", calls=(background("trap '' TERM HUP; while :; do sleep 0.2; done"),)),
        Reply("", calls=(Call("@shell", {"command": "touch go; echo beside"}),)),
        Reply("On its way."),
        Reply("It is over."),
    ]
    server = serve(cast(BOSS=boss))
    began = time.monotonic()
    ended = place.task(server, *words, prompt="BOSS go")
    assert ended.result["result"] in ("On its way.", "It is over."), repr(ended)
    assert time.monotonic() - began < LONG
    ends = place.events("task_ended")
    assert ends[0]["summary"] == "exit 3\nserved"
    assert [event["status"] for event in ends] == ["failed", "stopped"]
    assert any("exit 3\nserved" in turn.text for turn in server.requests[-1].history)


@pytest.mark.row(42)
@pytest.mark.parametrize("words", [(), ("--no-sandbox",)], ids=["confined", "unconfined"])
def test_a_killed_program_leaves_nothing_in_the_background(place: Place, serve: Serve, words: tuple[str, ...]) -> None:
    """The kill that nobody can answer; `place` looks for survivors afterwards."""
    place.write({"a.txt": "x\n"})
    boss = [
        Reply("", calls=(background("trap '' TERM HUP; touch up; while :; do sleep 0.2; done"),)),
        Reply("", calls=(send("WORKER look"),)),
    ]
    server = serve(cast(BOSS=boss, WORKER=[Reply("late", delay=300.0)]))
    process = place.start(server, "-p", "BOSS go", *words)
    wait_for(lambda: (place.project / "up").exists() and len(server.requests) == 3)
    interrupt(process, signal.SIGKILL)
    process.wait(20)
    assert not place.survivors(10)
    resumed = serve([Reply("I see.")], order="request")
    place.run(resumed, "--continue", "-p", "What now?").expect(10)
    text = "\n".join(turn.text for turn in resumed.requests[0].history)
    assert "the program ended before it did" in text
    assert sorted(event["status"] for event in place.events("task_ended")) == ["stopped", "stopped"]


def test_ctrl_c_ends_agents_too(place: Place, serve: Serve) -> None:
    boss = [Reply("", calls=(send("WORKER one"), send("WORKER two")))]
    server = serve(cast(BOSS=boss, WORKER=[Reply("late", delay=300.0)]))
    process = place.start(server, "-p", "BOSS go", "--output-format", "json")
    wait_for(lambda: len(server.requests) == 3)
    began = time.monotonic()
    interrupt(process)
    ended = place.finish(process, began)
    ended.expect(130, "interrupted")
    assert time.monotonic() - began < LONG
    assert [event["status"] for event in place.events("task_ended")] == ["stopped", "stopped"]


@pytest.mark.row(32)
def test_agents_that_send_out_agents_end_at_a_depth(place: Place, serve: Serve) -> None:
    deeper = Reply("Deeper.", calls=(send("WORKER go on"),))
    parts = cast(BOSS=[deeper, Reply("Done.")], WORKER=[deeper, Reply("Back.")])
    server = serve(parts)
    place.task(server, prompt="BOSS go").expect(0, "answered")
    assert len(children(place)) == 3
    deepest = [seen for seen in server.requests if not any(tool.name == "Agent" for tool in seen.tools)]
    assert len(deepest) == 2
    assert "there is no tool 'Agent'" in deepest[-1].last.results[0].text


@pytest.mark.row(32)
def test_twenty_agents_share_one_budget(place: Place, serve: Serve) -> None:
    calls = tuple(send(f"WORKER {number}", run_in_background=True) for number in range(20))
    look = Reply("Look.", calls=(Call("@shell", {"command": "date +%N"}),))
    server = serve(cast(BOSS=[Reply("", calls=calls), Reply("Waiting."), Reply("Enough.")], WORKER=[look]))
    ended = place.task(server, "--max-tokens-total", "120000", prompt="BOSS go")
    ended.expect(5, "budget")
    # What a request sends is estimated before it is made.
    assert ended.result["assay"]["tokens"]["total"] <= 121_000
    assert len(children(place)) == 20
    assert len(place.events("task_ended")) == 20


def test_agents_of_the_command_line(place: Place, serve: Serve) -> None:
    """Their own words and tools; more than a quarter of a megabyte of them is fine."""
    place.write({"a.txt": "x\n"})
    kinds = {
        "picky": {"description": "PICKS", "prompt": "You are picky.", "tools": ["Read"], "maxTurns": 3},
        **{f"k{number}": {"description": "d" * 50, "prompt": "p" * 1_000} for number in range(110)},
    }
    worker = [Reply("", calls=(Call("Bash", {"command": "true"}),)), Reply("I may not.")]
    server = serve(cast(BOSS=[Reply("", calls=(send("WORKER go", "picky"),)), Reply("Done.")], WORKER=worker))
    place.task(server, "--agents", json.dumps(kinds), prompt="BOSS go").expect(0, "answered")
    child = server.requests[1]
    assert child.system.endswith("You are picky.")
    assert [tool.name for tool in child.tools] == ["Read"]
    (text,) = [tool.description for tool in server.requests[0].tools if tool.name == "Agent"]
    assert "- picky: PICKS" in text
    assert "more that are not listed here" in text
    assert len(text) < 3_500
    wrong = place.run(None, "-p", "x", "--model", "local/none", "--agents", '{"a": {"prompt": "x"}}').expect(2)
    assert "agent a: description is missing" in wrong.err


def test_an_agent_on_a_copy_hands_back_its_diff(place: Place, serve: Serve) -> None:
    place.five_step()
    fix = Call("@edit", {"path": "calc.py", "old": "return a - b", "new": "return a + b"})
    look = Call("@read", {"path": "calc.py"})
    worker = [Reply("", calls=(look,)), Reply("", calls=(fix,)), Reply("", calls=(Call("@shell", {"command": TRY}),))]
    boss = [
        Reply("", calls=(send("WORKER mend it", isolation="worktree"),)),
        Reply("", calls=(Call("@shell", {"command": "python3 test_calc.py >/dev/null 2>&1 && echo too early"}),)),
        Reply("It is ready to be taken over."),
    ]
    server = serve(cast(BOSS=boss, WORKER=[*worker, Reply("Mended.")]))
    ended = place.task(server, prompt="BOSS go")
    assert ended.code in (0, 10), repr(ended)
    assert "a - b" in (place.project / "calc.py").read_text()
    (patch,) = place.state.glob("sessions/*/*/agents/agent-*.patch")
    assert "+    return a + b" in patch.read_text()
    said = server.requests[-1].history[2].results[0].text
    assert f"not here yet: calc.py. Take it over with: git apply {patch}" in said
    tried = [result.text for seen in server.requests for turn in seen.history for result in turn.results]
    assert "works" in tried, "its commands saw its own changes"


TRY = "python3 test_calc.py >/dev/null 2>&1 && echo works"
