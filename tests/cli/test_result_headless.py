"""The public projection of a turn: result object, stream lines, texts and exit codes."""

from __future__ import annotations

import json
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.app.flags import parse
from assay.app.messages.result import Totals, failure_object, result_object
from assay.app.task import Task, Wish
from assay.app.wishes import read_schema, read_wish
from assay.core.budget import Budget
from assay.core.check import EXIT_CODES, OutcomeName, Verdict
from assay.core.errors import AuthError, UsageError
from assay.core.events import AttemptFinished, ModelReplied, TurnEnded
from assay.core.messages import Json, Usage
from assay.core.policy import Decision
from assay.core.store import Record
from assay.surfaces.cli.headless import Output
from assay.testing import MemoryStore, ScriptedModel, reply
from assay.testing.models import PROFILE, Reply
from run.house import CHECK, House, mend, words, write

FIELD_KEYS = {
    "type", "subtype", "is_error", "duration_ms", "duration_api_ms", "num_turns", "result", "stop_reason", "session_id",
    "total_cost_usd", "usage", "modelUsage", "permission_denials", "uuid",
}  # fmt: skip
PROOF_KEYS = {"schema", "outcome", "criteria", "evidence", "tree", "diff", "attempts", "tokens", "unchecked"}


def ended(outcome: OutcomeName = "answered", why: str = "", text: str = "hi") -> TurnEnded:
    return TurnEnded("t", Verdict(outcome, why), text, 2, 1.5, 0.25)


def result(end: TurnEnded, totals: Totals | None = None, **more: object) -> dict[str, Json]:
    return result_object(end, totals or Totals(), "s", PROFILE, [], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", typing.get_args(OutcomeName))
def test_every_outcome_has_a_result_object_with_every_key(outcome: OutcomeName) -> None:
    made = result(ended(outcome, "because (--max-turns)"))
    assert set(made) >= FIELD_KEYS
    assert set(made["assay"]) >= PROOF_KEYS  # type: ignore[arg-type]
    assert made["assay"]["outcome"] == outcome  # type: ignore[index]
    assert made["is_error"] == (EXIT_CODES[outcome] not in (0, 10))
    assert made.get("errors") == (["because (--max-turns)"] if made["is_error"] else None)
    assert (made["duration_ms"], made["total_cost_usd"]) == (1500, 0.25)
    assert made["num_turns"] == (3 if outcome == "budget" else 2), "over the limit means that one more was wanted"
    json.dumps(made)


@pytest.mark.parametrize(
    ("outcome", "why", "subtype"),
    [
        ("verified", "", "success"),
        ("partial", "", "success"),
        ("failed", "", "error_during_execution"),
        ("interrupted", "", "error_during_execution"),
        ("budget", "3 steps used, the limit is 3 (--max-turns)", "error_max_turns"),
        ("budget", "$1 spent (--max-budget-usd)", "error_max_budget_usd"),
        ("auth", "no key", "success"),
    ],
)
def test_subtypes_are_those_of_the_field(outcome: OutcomeName, why: str, subtype: str) -> None:
    assert result(ended(outcome, why))["subtype"] == subtype


def test_sums_over_models_and_roles() -> None:
    totals = Totals()
    totals.add(ModelReplied(1, replace(reply("a", usage=Usage(10, 5, 2, 3)), model="one"), 0.5, 1.0), "x")
    totals.add(ModelReplied(2, replace(reply("b", usage=Usage(1, output=1)), model="two"), None, 0.5, "judge"), "x")
    totals.add(ModelReplied(3, replace(reply("c", usage=Usage(1, output=1)), model="one"), 0.25, 0.5), "x")
    made = result(ended(), totals)
    assert made["usage"] == {
        "input_tokens": 12, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 5, "output_tokens": 5,
    }  # fmt: skip
    usage = made["modelUsage"]
    assert isinstance(usage, dict)
    assert usage["one"]["inputTokens"] == 11
    assert usage["one"]["costUSD"] == 0.75
    assert usage["two"]["costUSD"] == 0.0
    assert made["duration_api_ms"] == 2000
    assert made["assay"]["tokens"] == {"total": 24, "by_role": {"solver": 22, "judge": 2}}  # type: ignore[index]
    assert made["stop_reason"] == "end_turn"


def test_a_run_that_could_not_begin_has_a_result_too() -> None:
    made = failure_object(AuthError("no key"), 0.5)
    assert set(made) >= FIELD_KEYS
    assert (made["is_error"], made["errors"], made["result"]) == (True, ["no key"], "no key")
    assert made["assay"]["outcome"] == "auth"  # type: ignore[index]


# --- a whole turn in the three formats -------------------------------------------------------------------------------


async def printed(
    capsys: pytest.CaptureFixture[str], style: str, *script: Reply, partial: bool = False, **wish: object
) -> tuple[list[str], str]:
    """Lines of standard output, and all of standard error, of one turn."""
    house = House(model=ScriptedModel(script), gate=None)
    asked = replace(Wish(Path("/project"), {}), **{key: value for key, value in wish.items() if key == "schema"})
    run = house.run(**wish)
    task = Task(run, house.model, asked, [], MemoryStore)
    output = Output(task, style, partial=partial)
    output.begin()
    output.end(await run.turn(words("make it good")))
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err


async def test_text_is_the_answer_alone_and_the_rest_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = await printed(capsys, "text", *mend(), "mended\n\n", checks=(CHECK,))
    assert out == ["mended"]
    assert "verified: " in err
    assert CHECK in err
    assert "session: test" in err


async def test_json_is_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = await printed(capsys, "json", *mend(), "mended \u2028 \ud800", checks=(CHECK,))
    (only,) = out
    made = json.loads(only)
    assert err == ""
    assert only.isascii()
    assert made["result"] == "mended \u2028 \ud800"
    assert made["assay"]["outcome"] == "verified"
    (row,) = made["assay"]["evidence"]
    assert {"criterion", "command", "class", "before", "after", "tree", "log", "seconds"} <= set(row)
    assert (row["class"], row["before"], row["after"]) == ("A", "fail", "pass")
    assert made["assay"]["diff"]["files"] == 1
    assert made["session_id"] == "test"


async def test_a_stream_begins_and_ends_as_hosts_expect(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = await printed(capsys, "stream-json", reply("I write.", [write()]), "done", partial=True)
    made = [json.loads(each) for each in out]
    kinds = [each["type"] for each in made if each["type"] != "stream_event" and each.get("subtype") != "status"]
    assert kinds == ["system", "assistant", "assistant", "user", "assistant", "result"], "one message for each part"
    assert any(each["type"] == "stream_event" for each in made)
    assert {each["session_id"] for each in made} == {"test"}
    assert made[-1]["assay"]["outcome"] == "unverified"


async def test_a_structured_answer_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    schema: dict[str, Json] = {"type": "object", "required": ["n"]}
    out, _ = await printed(capsys, "json", '{"n": 3}', schema=schema)
    assert json.loads(out[0])["structured_output"] == {"n": 3}
    out, _ = await printed(capsys, "json", "a", "b", "c", schema=schema)
    made = json.loads(out[0])
    assert "structured_output" not in made
    assert made["is_error"]


async def test_denials_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from loop.kit import NamedGate

    house = House(reply("", [write()]), "I may not", gate=NamedGate(Write=Decision("deny", "no")))
    run = house.run()
    output = Output(Task(run, house.model, Wish(Path("/project"), {}), [], MemoryStore), "json", partial=False)
    output.end(await run.turn(words("go")))
    (denial,) = json.loads(capsys.readouterr().out)["permission_denials"]
    assert denial == {
        "tool_name": "Write", "tool_use_id": "call_1_1", "tool_input": {"file_path": "b.txt", "content": "good\n"},
    }  # fmt: skip


def test_attempts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    house = House()
    run = house.run()
    output = Output(Task(run, house.model, Wish(Path("/project"), {}), [], MemoryStore), "json", partial=False)
    for number, verdict in ((1, "red"), (2, "green")):
        run.bus.emit(Record(number, 0.0, AttemptFinished(number, "slots", "a", verdict)))  # type: ignore[arg-type]
    output.end(replace(ended("verified"), selected=2))
    attempts = json.loads(capsys.readouterr().out)["assay"]["attempts"]
    assert (attempts["made"], attempts["first_passed"], attempts["selected"]) == (2, False, 2)


# --- flags to wishes -------------------------------------------------------------------------------------------------


def wish(*arguments: str) -> Wish:
    return read_wish(parse(list(arguments)), Path("/project"))


def test_flags_become_a_wish() -> None:
    made = wish(
        "--model", "m", "--fallback-model", "a,b,", "--max-turns", "3", "--max-budget-usd", "0.5", "--max-seconds", "9",
        "--max-tokens-total", "1000", "--tools", "Read,Edit", "Bash", "--check", "make", "--no-sandbox",
        "--json-schema", '{"type": "object"}', "--permission-mode", "plan", "--resume", "01ab",
    )  # fmt: skip
    assert (made.model, made.fallback, made.tools) == ("m", ("a", "b"), ("Read", "Edit", "Bash"))
    assert made.budget == Budget(3, 1000, 0.5, 9.0)
    assert (made.checks, made.no_sandbox, made.permission_mode) == (("make",), True, "plan")
    assert (made.schema, made.session, made.fork) == ({"type": "object"}, "01ab", False)


def test_which_session_is_meant() -> None:
    assert wish().session is None
    assert wish("--continue").session == ""
    assert wish("--continue", "--fork-session").fork
    assert wish("--tools", "").tools == (), "no tools at all"
    assert wish().tools is None
    with pytest.raises(UsageError, match="--resume needs the ID"):
        wish("--resume=")


@pytest.mark.parametrize("text", ["", "[]", "nope", "3", '"object"', '{"type"'])
def test_a_schema_that_is_none_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="--json-schema is not a JSON object"):
        read_schema(text)


@given(st.text())
def test_no_schema_text_makes_it_crash(text: str) -> None:
    try:
        assert isinstance(read_schema(text), dict)
    except UsageError as error:
        assert "--json-schema" in str(error)


def test_a_schema_with_bytes_that_are_no_text_is_told() -> None:
    with pytest.raises(UsageError, match="--json-schema"):
        read_schema('{"a": "\udcff"}')
