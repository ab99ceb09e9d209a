"""Several attempts at one task, through the real command: what they cost, which is taken, and what is left behind."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path

import pytest

from assay.sessions.reader import LogReader
from assay.testing.server import Call, Reply, SeenRequest, conversations, prompt_bytes, shared_prefix
from assay.testing.server.jobs import BEFORE

from .command import EACH, Place, interrupt, wait_for
from .conftest import Serve

CHECK = ("--check", "python3 test_calc.py")
MARK = "This is another attempt"
RIGHT = "return a + b"


def attempt_of(seen: SeenRequest) -> str:
    """What makes the attempt different that a request belongs to; "" for the turn's own."""
    text = "\n".join(turn.text for turn in takewhile(lambda turn: turn.role != "assistant", seen.history))
    return text[text.index(MARK) :] if MARK in text else ""


def edits(line: str, words: str) -> list[Reply]:
    """An attempt that writes `line` into the function and says so."""
    fix = Call("@edit", {"path": "calc.py", "old": "return a - b", "new": line})
    return [Reply("I look.", calls=(Call("@read", {"path": "calc.py"}),)), Reply(words, calls=(fix,)), Reply(words)]


def played(*attempts: Sequence[Reply]) -> Callable[[SeenRequest], Reply]:
    """Attempts by order of their first requests; the last reply of each again and again."""
    order = [""]

    def answer(seen: SeenRequest) -> Reply:
        own = attempt_of(seen)
        if own not in order:
            order.append(own)
        script = attempts[min(order.index(own), len(attempts) - 1)]
        return script[min(seen.position, len(script) - 1)]

    return answer


WRONG = edits("return a * b", "It multiplies now.")
ALSO_WRONG = edits("return a", "It gives a.")
FIXED = edits(RIGHT, "It adds now.")


def firsts(requests: Sequence[SeenRequest]) -> list[SeenRequest]:
    """The first request of each attempt."""
    found: dict[str, SeenRequest] = {}
    for seen in requests:
        found.setdefault(attempt_of(seen), seen)
    return list(found.values())


def logs(place: Place) -> list[Path]:
    return sorted(place.state.glob("sessions/*/*/attempts/*.jsonl"))


def test_what_the_first_attempt_solves_costs_no_further_request(place: Place, serve: Serve) -> None:
    place.five_step()
    alone = serve(played(FIXED))
    place.task(alone, *CHECK).expect(0, "verified")
    (place.project / "calc.py").write_text(BEFORE)
    server = serve(played(FIXED))
    ended = place.task(server, *CHECK, "--attempts", "3", "--effort", "high").expect(0, "verified")
    assert len(server.requests) == len(alone.requests) == 2
    assert [one.parts.messages for one in server.requests] == [one.parts.messages for one in alone.requests]
    told = ended.result["assay"]["attempts"]
    assert (told["made"], told["first_passed"], told["selected"], told["each"]) == (1, True, 0, [])
    assert not logs(place)


@pytest.mark.parametrize("dialect", EACH)
def test_the_second_of_three_is_right_and_costs_a_suffix(place: Place, serve: Serve, dialect: str) -> None:
    place.five_step()
    server = serve(played(WRONG, FIXED))
    ended = place.task(server, *CHECK, "--attempts", "3", dialect=dialect).expect(0, "verified")
    assert RIGHT in (place.project / "calc.py").read_text()
    assert ended.result["result"] == "It adds now."
    proof = ended.result["assay"]
    told = proof["attempts"]
    assert (told["made"], told["first_passed"], told["selected"]) == (2, False, 2)
    assert [(each["number"], each["result"]) for each in told["each"]] == [(1, "red"), (2, "green")]
    assert told["each"][1]["steps"] == 2
    assert proof["tokens"]["by_role"]["attempt"] == told["each"][1]["tokens"]
    assert sum(proof["tokens"]["by_role"].values()) == proof["tokens"]["total"]
    receipt = json.loads(next(place.state.glob("sessions/*/*/receipt-*.json")).read_text())
    assert [each["number"] for each in receipt["attempts"]] == [1, 2]
    assert receipt["selected"]["number"] == 2


@pytest.mark.parametrize("dialect", EACH)
def test_many_attempts_cost_as_many_suffixes(place: Place, serve: Serve, dialect: str) -> None:
    place.five_step()
    server = serve(played(WRONG, ALSO_WRONG, edits("return b", "It gives b."), FIXED))
    words = ("--attempts", "5", "--effort", "high")
    ended = place.task(server, *CHECK, *words, dialect=dialect).expect(0, "verified")
    own, *others = firsts(server.requests)
    assert len(others) == ended.result["assay"]["attempts"]["made"] - 1 >= 3
    for other in others:
        assert (other.parts.tools, other.parts.system) == (own.parts.tools, own.parts.system)
        # All of the first request but the ends of its last message, and behind it the attempt's own text alone.
        shared = shared_prefix(own.parts, other.parts)
        assert prompt_bytes(own.parts) - shared < 120
        assert prompt_bytes(other.parts) - shared < len(attempt_of(other).encode()) + 240
    for thread in conversations(server.requests):
        assert thread.extensions == thread.requests - 1, "within an attempt, each request extends the one before"


def test_all_wrong_is_failed_and_says_so(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(played(WRONG, ALSO_WRONG, WRONG, ALSO_WRONG))
    ended = place.task(server, *CHECK, "--attempts", "4").expect(1, "failed")
    told = ended.result["assay"]["attempts"]
    assert not told["first_passed"]
    assert told["selected"] == 1, "none is better than the first, whose files stay"
    assert told["made"] in (3, 4)
    assert "return a * b" in (place.project / "calc.py").read_text()
    shown = place.run(None, "sessions", "show", place.logs[-1].stem).expect(0).out
    assert "attempt 2 (smallest change): red" in shown
    assert f"taken   attempt 1 of {told['made']}" in shown
    for log in logs(place):
        reader = LogReader(log)
        assert [record.number for record in reader.records()]
        assert not reader.notices


def test_attempts_fail_alike_twice_and_no_more_are_made(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(played(WRONG))
    ended = place.task(server, *CHECK, "--attempts", "9").expect(1, "failed")
    assert ended.result["assay"]["attempts"]["made"] < 6


def test_a_summary_for_people(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(played(WRONG, FIXED))
    ended = place.run(server, "-p", "go", *CHECK, "--attempts", "3").expect(0)
    assert ended.out == "It adds now.\n"
    assert "2 attempts: first failed, 2 was taken: the only one that turns the checks green" in ended.err


def test_without_a_word_a_second_attempt_needs_a_check_of_the_user(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(played(WRONG, FIXED))
    ended = place.task(server)
    assert ended.result["assay"]["attempts"]["made"] == 1
    (place.project / "calc.py").write_text(BEFORE)
    ended = place.task(serve(played(WRONG, FIXED)), *CHECK).expect(0, "verified")
    assert ended.result["assay"]["attempts"]["made"] == 2
    (place.project / "calc.py").write_text(BEFORE)
    ended = place.task(serve(played(WRONG, FIXED)), *CHECK, "--effort", "low").expect(1, "failed")
    assert ended.result["assay"]["attempts"]["made"] == 1


@pytest.mark.parametrize("word", ["0", "-1", "abc", "1000", "33", "2.5"])
def test_bad_numbers_are_usage_errors(place: Place, word: str) -> None:
    ended = place.run(None, "-p", "go", "--attempts", word).expect(2)
    assert "--attempts" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("value", ["0", "-1", '"abc"', "1000"])
def test_bad_numbers_in_settings_are_usage_errors(place: Place, value: str) -> None:
    ended = place.run("http://127.0.0.1:9", "-p", "go", "--settings", f'{{"attempts": {value}}}').expect(2)
    assert "attempts" in ended.err


def slow(script: Sequence[Reply]) -> list[Reply]:
    """`script`, with a command that takes its time before anything else."""
    waits = Call("@shell", {"command": "echo begun > begun.txt; sleep 60"})
    return [Reply("", calls=(waits,)), *script]


def under_way(place: Place, number: int = 1) -> Callable[[], bool]:
    """Whether attempt logs show that so many attempts have a command that runs."""
    return lambda: sum(b'"kind":"intent"' in log.read_bytes() for log in logs(place)) >= number


@pytest.mark.parametrize("effort", ["medium", "high"])
def test_an_interruption_leaves_the_files_and_nothing_else(place: Place, serve: Serve, effort: str) -> None:
    """With high effort two attempts are under way at once."""
    place.five_step()
    server = serve(played(WRONG, slow(FIXED)))
    words = ("-p", "go", "--output-format", "json", *CHECK, "--attempts", "6", "--effort", effort)
    process = place.start(server, *words)
    wait_for(under_way(place, 2 if effort == "high" else 1))
    interrupt(process)
    ended = place.finish(process, 0.0).expect(130, "interrupted")
    assert "return a * b" in (place.project / "calc.py").read_text(), "as the turn's own attempt left it"
    assert not (place.project / "begun.txt").exists()
    assert not [*place.state.glob("workspaces/*/copies/*")]
    each = ended.result["assay"]["attempts"]["each"]
    assert {row["why"] for row in each[1:]} == {"stopped"}
    assert len(each) == (3 if effort == "high" else 2)


def test_an_interruption_names_the_ways_back_and_on(place: Place, serve: Serve) -> None:
    place.five_step()
    process = place.start(serve(played(WRONG, slow(FIXED))), "-p", "go", *CHECK, "--attempts", "6")
    wait_for(under_way(place))
    interrupt(process)
    ended = place.finish(process, 0.0).expect(130)
    session = re.search(r"to take it back: assay rewind --session (\S+); to go on: assay --resume \1", ended.err)
    assert session
    place.run(None, "rewind", "--session", session[1]).expect(0)
    assert "return a - b" in (place.project / "calc.py").read_text()


def test_who_edits_meanwhile_keeps_the_edit(place: Place, serve: Serve) -> None:
    place.five_step()

    def second(seen: SeenRequest) -> Reply:
        if attempt_of(seen):
            (place.project / "calc.py").write_text("def add(a, b):\n    return 'mine'\n")
        return play(seen)

    play = played(WRONG, FIXED)
    ended = place.task(serve(second), *CHECK, "--attempts", "3").expect(1, "failed")
    assert "mine" in (place.project / "calc.py").read_text()
    told = ended.result["assay"]["attempts"]
    assert told["selected"] == 1
    assert "files were changed meanwhile, so attempt 2 was not taken over" in told["why"]
    (patch,) = place.state.glob("sessions/*/*/attempts/*.patch")
    assert f"+    {RIGHT}" in patch.read_text()
    assert str(patch) in ended.err


def test_a_budget_holds_for_all_attempts_together(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(played(WRONG, ALSO_WRONG, WRONG))
    place.task(server, *CHECK, "--attempts", "8", "--max-turns", "7").expect(1, "failed")
    assert len(server.requests) <= 7
    (place.project / "calc.py").write_text(BEFORE)
    server = serve(played(WRONG, ALSO_WRONG, WRONG))
    ended = place.task(server, *CHECK, "--attempts", "8", "--max-tokens-total", "14000").expect(1, "failed")
    assert ended.result["assay"]["tokens"]["total"] <= 14_000
    assert ended.result["assay"]["attempts"]["made"] >= 2


def test_what_a_kill_cut_short_is_told_and_not_made_again(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(played(WRONG, slow(FIXED)))
    process = place.start(server, "-p", "go", *CHECK, "--attempts", "3")
    wait_for(under_way(place))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    asked = len(server.requests)
    again = serve(played(FIXED))
    resumed = place.run(again, "--continue", "-p", "--output-format", "json", "--attempts", "3")
    told = resumed.expect(0, "verified").result["assay"]["attempts"]
    assert "attempt 2 was cut short when the program ended before it did; it is not made again" in resumed.err
    assert (told["made"], told["selected"]) == (3, 3)
    assert len(firsts(again.requests)) == 1
    assert attempt_of(again.requests[0]), "the turn's own attempt had ended, and is not made again"
    assert asked + len(again.requests) < 12
    assert not [*place.state.glob("workspaces/*/copies/*")]


def test_what_acts_elsewhere_is_refused_and_nobody_is_asked(place: Place, serve: Serve) -> None:
    place.five_step()
    send = Call("Agent", {"description": "x", "prompt": "WORKER", "subagent_type": "general-purpose"})
    server_ = Call("Bash", {"command": "sleep 9", "run_in_background": True})
    absolute = Call("Read", {"file_path": str(place.project / "calc.py")})
    second = [Reply("", calls=(send, server_, absolute)), *FIXED[1:]]
    server = serve(played(WRONG, second))
    place.task(server, *CHECK, "--attempts", "2").expect(0, "verified")
    (results,) = [turn.results for turn in server.requests[-1].history if len(turn.results) == 3]
    assert "Agent can't be had here" in results[0].text
    assert "a command in the background can't be had here" in results[1].text
    assert BEFORE.splitlines()[1] in results[2].text, "paths are those of the session, files those of the attempt"


def test_the_session_goes_on_behind_what_was_taken(place: Place, serve: Serve) -> None:
    place.five_step()
    place.task(serve(played(WRONG, FIXED)), *CHECK, "--attempts", "2").expect(0, "verified")
    server = serve(lambda seen: Reply("Fine."))
    place.task(server, "--continue", prompt="and now?").expect(0)
    history = server.requests[0].history
    told = "\n".join(turn.text for turn in history)
    assert "attempt 2, made on a copy, was taken in its place" in told
    assert [turn.text for turn in history if turn.role == "assistant"][-1] == "It adds now."


def test_the_next_model_of_a_cascade_gets_the_evidence_and_nothing_else(place: Place, serve: Serve) -> None:
    place.five_step()
    first, strong = serve(played(WRONG)), serve(played(FIXED))
    settings = {
        "cascade": ["other/strong"],
        "providers": {"other": {"dialect": "openai-chat", "baseUrl": f"{strong.url}/v1", "keys": [{"name": "K"}]}},
    }
    words = ("--settings", json.dumps(settings), "--effort", "low")
    ended = place.task(first, *CHECK, *words, prompt="add() gives wrong sums; mend it").expect(0, "verified")
    assert not any(attempt_of(seen) for seen in first.requests), "no waves with little effort"
    said = attempt_of(strong.requests[0])
    assert "tried: calc.py -`return a - b` +`return a * b`" in said
    assert "idea: It multiplies now." in said
    assert "calc.py:1-2 add" in said
    assert "the check `python3 test_calc.py` fails" in said
    assert "attempt 2 goes to other/strong (settings: cascade)" in ended.err
    assert [each["model"] for each in ended.result["assay"]["attempts"]["each"]] == ["bench-model", "other/strong"]


def test_results_that_the_checks_leave_tied_are_run_and_compared(place: Place, serve: Serve) -> None:
    place.five_step()
    made = played(WRONG, edits("return a + b if a > 0 else b", "Short."), edits(RIGHT, "It adds now."))
    asked: list[str] = []

    def answer(seen: SeenRequest) -> Reply:
        text = "\n".join(turn.text for turn in seen.history)
        if "ANSWER: A or" not in text:
            return made(seen)
        asked.append(text)
        call, first, second = re.findall(r"were run as `add\((.+)\)`.\nA: (.+)\nB: (.+)", text)[0]
        right = str(sum(map(int, call.split(", "))))
        return Reply("It adds.\nANSWER: " + ("A" if first == right else "B" if second == right else "NEITHER"))

    server = serve(answer)
    ended = place.task(server, *CHECK, "--effort", "high").expect(10, "partial")
    assert (place.project / "calc.py").read_text() == BEFORE.replace("-", "+")
    assert len(asked) == 2, "in both orders"
    assert "another change behaves differently" in ended.result["assay"]["why"]
    assert ended.result["assay"]["tokens"]["by_role"]["comparator"] > 0
    assert "comparison" in ended.result["assay"]["attempts"]["why"]


def test_a_cascade_of_a_model_that_nobody_knows_is_told_at_once(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(played(FIXED))
    ended = place.run(server, "-p", "mend add()", *CHECK, "--settings", json.dumps({"cascade": ["nonsense"]})).expect(2)
    assert ended.err.startswith("error: cascade in settings: unknown model 'nonsense'")
    assert not server.requests
