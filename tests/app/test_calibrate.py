"""Tiny edits with one right result: which way of editing suits a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.app.calibrate import DIALECTS, EditTask, Score, applied, best, edit_tasks, request_of, save, score, solved
from assay.app.config import load_settings
from assay.app.model import catalog_of
from assay.core.errors import AuthError, ProviderUnavailable, UsageError
from assay.core.messages import AssistantMessage, Failure, Text, UserMessage
from assay.core.model import ModelRequest
from assay.models.fences import Edits
from assay.surfaces.cli.models import run_models
from assay.testing import FunctionModel, call, reply
from assay.testing.models import Reply
from assay.testing.server import SeenRequest, serve_in_thread
from assay.testing.server.script import Reply as Served

TASKS = edit_tasks()


def right(task: EditTask, edits: Edits) -> AssistantMessage:
    """The reply of a model that can do it."""
    if edits == "whole":
        return reply(f"{task.path}\n````\n{task.after}````\n")
    if edits == "blocks":
        old = task.before.removesuffix("\n")
        block = "\n".join(
            ["<<<<<<< SEARCH", *([old] if old else []), "=======", task.after.rstrip("\n"), ">>>>>>> REPLACE"]
        )
        return reply(f"{task.path}\n{block}\n")
    return reply("", [call("Edit", {"file_path": task.path, "old_string": task.before, "new_string": task.after})])


def told(request: ModelRequest) -> str:
    message = request.messages[0]
    assert isinstance(message, UserMessage) and isinstance(message.parts[0], Text)
    return message.parts[0].text


def test_tasks_are_twelve_different_ones_and_the_same_every_time() -> None:
    assert edit_tasks() == TASKS and len({task.path + task.ask for task in TASKS}) == 12
    assert all(task.before != task.after and task.before.strip() != task.after.strip() for task in TASKS)
    assert edit_tasks(7) != TASKS


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.path)
@pytest.mark.parametrize("edits", DIALECTS)
def test_each_can_be_solved_in_each_dialect_and_only_exactly(task: EditTask, edits: Edits) -> None:
    assert solved(task, right(task, edits), edits)
    wrong = EditTask(task.path, task.before, task.ask, task.after.replace("\n", "\nx\n", 1))
    assert not solved(task, right(wrong, edits), edits)
    assert not solved(task, reply("I can't."), edits)
    elsewhere = EditTask("other.py", "", task.ask, task.after)
    assert not solved(task, right(elsewhere, edits), edits)


def test_edits_follow_the_rules_of_the_tools() -> None:
    twice = {"a": "x x"}
    edit = {"file_path": "a", "old_string": "x", "new_string": "y"}
    assert applied(twice, [call("Edit", edit)]) is None
    assert applied(twice, [call("Edit", {**edit, "replace_all": True})]) == {"a": "y y"}
    assert applied(twice, [call("Edit", {**edit, "old_string": "z"})]) is None
    assert applied(twice, [call("Edit", {**edit, "old_string": ""})]) is None
    assert applied(twice, [call("Bash", {"command": "ls"})]) is None
    assert applied(twice, []) is None


async def test_a_model_is_scored_by_dialect() -> None:
    def answer(request: ModelRequest) -> Reply:
        task = next(task for task in TASKS if told(request).endswith(task.ask))
        if request.tools:
            return right(task, "tool") if task.path != "Makefile" else "no"
        return right(task, "blocks") if "SEARCH" in request.system else Failure("empty", "nothing")

    scores = [await score(FunctionModel(answer), edits, TASKS, lambda _: None) for edits in DIALECTS]
    assert [(s.passed, s.asked, len(s.missed)) for s in scores] == [(11, 12, 1), (12, 12, 0), (0, 12, 12)]
    assert best(scores) == scores[1] and scores[1].tokens == 110
    cheap = Score("tool", 12, 12)
    assert best([cheap, Score("blocks", 12, 12, scores[1].usage)]) == cheap
    assert best([scores[2], Score("tool", 0, 12)]) is None


@pytest.mark.parametrize(("kind", "error"), [("auth", AuthError), ("network", ProviderUnavailable)])
async def test_a_model_that_cannot_be_asked_is_an_error(kind: str, error: type[Exception]) -> None:
    model = FunctionModel(lambda _: Failure(kind, "no"))  # type: ignore[arg-type]
    with pytest.raises(error):
        await score(model, "tool", TASKS, lambda _: None)


def test_no_code_is_asked_for_as_json_where_text_is_the_dialect() -> None:
    assert all(request_of(task, "blocks").tools == () for task in TASKS)
    assert {tool.name for tool in request_of(TASKS[0], "tool").tools} == {"Edit", "Write"}


def test_the_fact_is_kept_beside_everything_else(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"maxTurns": 3, "models": {"openai/x": {"context": 9000}}}')
    save(file, "openai/x", "whole")
    settings, _ = load_settings(file, tmp_path, frozenset({"user"}))
    assert settings.max_turns == 3
    profile, _ = catalog_of(settings).resolve("openai/x", environ={"OPENAI_API_KEY": "k"})
    assert (profile.edits, profile.context) == ("whole", 9000)
    with pytest.raises(UsageError, match="under providers"):
        save(file, "x", "whole")
    file.write_text("[]")
    with pytest.raises(UsageError, match="mend it first"):
        save(file, "openai/x", "whole")
    assert file.read_text() == "[]"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("K", "sk-0")

    def answer(seen: SeenRequest) -> Served:
        text = seen.history[-1].text
        task = next((task for task in TASKS if text.endswith(task.ask)), TASKS[0])
        return Served(f"{task.path}\n````\n{task.after}````\n")

    with serve_in_thread(answer) as server:
        there = ["--base-url", f"{server.url}/v1", "--dialect", "openai-chat", "--api-key-env", "K"]
        assert run_models(["calibrate", "openai/x", *there, "--json", "--save"]) == 0
        assert len(server.requests) == 36
        with pytest.raises(UsageError, match="give the server a name"):
            run_models(["calibrate", "x", *there, "--save"])
        assert len(server.requests) == 36, "told before anything is asked"
    shown = json.loads(capsys.readouterr().out)
    assert [(row["edits"], row["passed"]) for row in shown["dialects"]] == [("tool", 0), ("blocks", 0), ("whole", 12)]
    kept = json.loads((tmp_path / "home/config/settings.json").read_text())
    assert kept["models"]["openai/x"]["edits"] == shown["best"] == "whole"
    with pytest.raises(UsageError, match="one model"):
        run_models(["calibrate"])


def test_what_no_edit_speaks_for_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("K", "sk-0")
    with serve_in_thread(lambda _: Served("I can't.")) as server:
        there = ["--base-url", f"{server.url}/v1", "--dialect", "openai-chat", "--api-key-env", "K"]
        assert run_models(["calibrate", "openai/x", *there, "--json", "--save"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["best"] is None
    assert shown.err == "error: it got no edit right in any dialect, so none can be recommended, and nothing is kept\n"
    assert not (tmp_path / "home/config/settings.json").exists()
