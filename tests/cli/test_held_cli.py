"""`assay held`: looking at what was taken back, and deciding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.app.messages.result import Totals
from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.sessions.index import project_key
from assay.surfaces.cli.held import run_held


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What one command left, for a project that is the current directory."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    held = tmp_path / "home/state/workspaces" / project_key(str(project)) / "held/20260101-000000-abcdef"
    (held / "sub/.vscode").mkdir(parents=True)
    (held / "sub/.vscode/tasks.json").write_text("run\x1b[2J\n")
    (held / ".envrc").write_text("x\n")
    (held / "CLAUDE.md").symlink_to("AGENTS.md")
    return held


def test_list_and_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_held(["list"]) == 0
    assert capsys.readouterr().out == f"{folder.name}  .envrc, CLAUDE.md, sub/.vscode/tasks.json\n"
    assert run_held(["list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["paths"] == [".envrc", "CLAUDE.md", "sub/.vscode/tasks.json"]
    assert run_held(["show", folder.name]) == 0
    shown = capsys.readouterr().out
    assert "--- CLAUDE.md\na link to AGENTS.md\n" in shown
    assert "\x1b" not in shown
    for wrong in (["show"], ["show", "../.."], ["apply", "x"], ["nothing"]):
        with pytest.raises(UsageError):
            run_held(wrong)


def test_apply_never_overwrites(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".envrc").write_text("mine")
    assert run_held(["apply", folder.name]) == 1
    assert "still held, its place is taken: .envrc" in capsys.readouterr().out
    assert Path(".envrc").read_text() == "mine"
    assert Path("sub/.vscode/tasks.json").read_text().startswith("run")
    assert Path("CLAUDE.md").readlink() == Path("AGENTS.md")
    assert (folder / ".envrc").read_text() == "x\n"
    Path(".envrc").unlink()
    assert run_held(["apply", folder.name]) == 0
    assert not folder.exists()


def test_a_link_on_the_way_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Path("sub").symlink_to(tmp_path / "elsewhere")
    assert run_held(["apply", folder.name]) == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_drop(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_held(["drop", folder.name]) == 0
    assert run_held(["list"]) == 0
    assert capsys.readouterr().out == "nothing is held for this directory\n"


def test_totals_name_each_once() -> None:
    totals = Totals()
    held: list[Json] = [".envrc", ".vscode"]
    totals.add_held({"held": held})
    totals.add_held({"held": [".envrc"]})
    totals.add_held({})
    assert totals.held == [".envrc", ".vscode"]
