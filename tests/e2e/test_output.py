"""What comes out (text, json, stream-json), what goes in (prompt, pipe, schema), and where a turn must stop."""

from __future__ import annotations

import json
import time

import pytest

from assay.testing.server import Call, Fault, Reply
from assay.testing.server.jobs import five_step

from .command import EACH, Place, across
from .conftest import Serve

KEYS = {
    "type", "subtype", "is_error", "duration_ms", "duration_api_ms", "num_turns", "result", "stop_reason",
    "terminal_reason", "session_id", "total_cost_usd", "usage", "modelUsage", "permission_denials", "uuid", "assay",
}  # fmt: skip
OURS = {"schema", "outcome", "criteria", "evidence", "tree", "diff", "attempts", "tokens", "unchecked"}
PRICED = {"models": {"openai/bench-model": {"price": {"input": 100.0, "output": 1000.0}}}}
SCHEMA = '{"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}'


def _again(text: str = "Again."):
    """A model that never ends and never repeats itself."""
    return lambda seen: Reply(text, calls=(Call("@shell", {"command": f"echo {seen.position}"}),))


def test_json_has_every_key_and_text_is_only_the_answer(place: Place, serve: Serve) -> None:
    place.five_step()
    server = serve(five_step(place.project))
    result = place.task(server, "--check", "python3 test_calc.py").expect(0, "verified").result
    assert result.keys() >= KEYS
    assert result["assay"].keys() >= OURS
    assert result["assay"]["tokens"]["total"] == sum(result["usage"].values())
    assert result["modelUsage"].keys() == {"bench-model"}
    ended = place.run(serve(Reply("Four.")), "-p", "What is 2 + 2?").expect(0)
    assert ended.out == "Four.\n"
    assert "answered: " in ended.err
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("dialect", EACH)
def test_stream_json_tells_the_whole_story(place: Place, serve: Serve, dialect: str) -> None:
    place.five_step()
    server = serve(five_step(place.project))
    words = ("--output-format", "stream-json", "--verbose", "--include-partial-messages")
    lines = place.run(server, "-p", "Repair calc.py", *words, dialect=dialect).lines
    init, *middle, result = lines
    assert (init["type"], init["subtype"], init["cwd"]) == ("system", "init", str(place.project))
    assert set(init["tools"]) >= {"Read", "Edit", "Bash"}
    # Before each request its status; then a message for each block of the reply, and one for the tool's result.
    kinds = [line["type"] for line in middle if line["type"] != "stream_event"]
    assert kinds == ["system", "assistant", "assistant", "user"] * 5
    assert {line["status"] for line in middle if line["type"] == "system"} == {"requesting"}
    blocks = [block for line in middle if line["type"] == "assistant" for block in line["message"]["content"]]
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    answers = [line["message"]["content"][0]["tool_use_id"] for line in middle if line["type"] == "user"]
    assert answers == calls
    spoken = "".join(block["text"] for block in blocks if block["type"] == "text")
    events = [line["event"] for line in middle if line["type"] == "stream_event"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas if delta["type"] == "text_delta") == spoken
    assert result["type"] == "result"
    assert {line["session_id"] for line in lines} == {result["session_id"]}
    assert len({line["uuid"] for line in lines}) == len(lines)


def test_a_run_that_cannot_begin_still_gives_a_result_object(place: Place, serve: Serve) -> None:
    (place.home / ".local").write_text("in the way")
    ended = place.task(serve(Reply("Four.")), prompt="What is 2 + 2?").expect(9, "storage")
    assert ended.result.keys() >= KEYS
    assert ended.result["is_error"] is True
    assert ended.result["errors"][0] in ended.err


@pytest.mark.parametrize("words", [(), ("x", "--json-schema", "[]"), ("x", "--thinking", "5")], ids=len)
def test_a_wish_that_makes_no_sense_still_gives_a_result_object(place: Place, words: tuple[str, ...]) -> None:
    ended = place.run("http://127.0.0.1:9", "-p", *words, "--output-format", "json").expect(2, "usage")
    assert ended.result["errors"][0] in ended.err


def test_the_prompt_may_come_from_a_pipe_and_a_pipe_may_bring_context(place: Place, serve: Serve) -> None:
    server = serve(Reply("Four."))
    place.run(server, "-p", stdin="What is 2 + 2?\n").expect(0)
    place.run(server, "-p", "Sum the numbers", stdin="2\n2\n").expect(0)
    first, second = (seen.history[-1].text for seen in server.requests)
    assert first.startswith("What is 2 + 2?\n")
    assert "<stdin>" not in first
    assert "Sum the numbers" in second
    assert "<stdin>\n2\n2\n</stdin>" in second


@pytest.mark.slow
def test_a_pipe_that_stays_silent_is_not_waited_for(place: Place, serve: Serve) -> None:
    began = time.monotonic()
    process = place.start(serve(Reply("Four.")), "-p", "What is 2 + 2?", stdin=True)
    assert process.wait(20) == 0  # its standard input is still open
    assert place.finish(process, began).out == "Four.\n"


def test_an_answer_by_schema_is_asked_for_again_until_it_fits(place: Place, serve: Serve) -> None:
    server = serve([Reply("It is four."), Reply('```json\n{"sum": 4}\n```')])
    ended = place.task(server, "--json-schema", SCHEMA, prompt="What is 2 + 2?").expect(0, "answered")
    assert ended.result["structured_output"] == {"sum": 4}
    ended = place.task(serve(Reply("Four!")), "--json-schema", SCHEMA, prompt="What is 2 + 2?").expect(1, "failed")
    assert "structured_output" not in ended.result


def test_tokens_run_out(place: Place, serve: Serve) -> None:
    server = serve(_again("Again. " * 20))
    ended = place.task(server, "--max-tokens-total", "4000", prompt="Go on").expect(5, "budget")
    assert 2_000 < ended.result["assay"]["tokens"]["total"] <= 4_000
    assert "--max-tokens-total" in ended.result["errors"][0]


@pytest.mark.row(30)
def test_money_runs_out_before_it_is_overspent(place: Place, serve: Serve) -> None:
    server = serve(_again())
    words = ("-p", "Go on", "--output-format", "json", "--max-budget-usd", "0.5", "--settings", json.dumps(PRICED))
    words = (*words, "--model", "openai/bench-model", "--base-url", f"{server.url}/v1", "--dialect", "openai-chat")
    ended = place.run(None, *words, env={"OPENAI_API_KEY": "sk-own"}).expect(5, "budget")
    assert 0.2 < ended.result["total_cost_usd"] <= 0.5
    assert ended.result["subtype"] == "error_max_budget_usd"
    assert 1 < len(server.requests) < 10
    assert ended.result["assay"]["cost_known"] is True


@pytest.mark.row(31)
@pytest.mark.slow
@pytest.mark.parametrize("where", ["in a command", "in a reply", "in a check"])
def test_time_runs_out_wherever_it_is_spent(place: Place, serve: Serve, where: str) -> None:
    call = Call("@shell", {"command": "sleep 60 & sleep 60" if where == "in a command" else "echo 1 > a"})
    fault = Fault("stall", seconds=60.0) if where == "in a reply" else None
    server = serve([Reply("I wait.", calls=(call,), fault=fault), Reply("Done.")])
    check = ("--check", "test ! -e a || sleep 60") if where == "in a check" else ()
    ended = place.task(server, "--max-seconds", "2", *check, prompt="Wait").expect(5, "budget")
    assert "--max-seconds" in ended.result["errors"][0]
    assert ended.seconds < 5


@pytest.mark.row(24)
@pytest.mark.parametrize(("fault", "dialect"), across("usage_missing", "usage_negative", "usage_huge"))
def test_absurd_usage_is_not_believed(place: Place, serve: Serve, fault: str, dialect: str) -> None:
    server = serve([Reply("I look.", calls=(Call("@shell", {"command": "ls"}),)), Reply("Done.")],
                   [Fault(fault, times=None)])  # fmt: skip
    words = ("--max-tokens-total", "100000", "--max-budget-usd", "1")
    ended = place.task(server, *words, prompt="Look", dialect=dialect).expect(0, "answered")
    assert 500 < ended.result["assay"]["tokens"]["total"] < 10_000


def test_control_characters_of_a_model_do_not_reach_progress_lines(place: Place, serve: Serve) -> None:
    call = Call("@shell", {"command": "printf '\\033[2J\\033]52;c;eA==\\007'; echo $'\\e[31m'"})
    server = serve([Reply("\x1b[2J", calls=(call,)), Reply("Done.\x1b[2J")])
    ended = place.run(server, "-p", "Clear", "--verbose").expect(0)
    assert "\x1b" not in ended.err
