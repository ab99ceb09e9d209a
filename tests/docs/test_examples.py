"""Every program in examples/ does what its first lines say."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from assay.testing.server import serve_in_thread

from .stage import ROOT, Stage, play

EXAMPLES = ROOT / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), EXAMPLES / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TestOwnTool = load("own_tool.py").TestWordCount


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with serve_in_thread(play) as server:
        yield Stage(tmp_path, server.url)


def test_run_in_ci_and_check_receipt(stage: Stage) -> None:
    said = stage.run(f"python {EXAMPLES}/run_in_ci.py 'The test fails: fix it' 2>../progress; echo exit $?")
    assert said.startswith("verified: every criterion has evidence")
    assert "- B the task as asked: fail -> pass (`python3 -m unittest discover`)" in said
    assert said.endswith("exit 0\n")
    receipt = "$HOME/.local/state/assay/sessions/*/*/receipt-*.json"
    said = stage.run(f"python {EXAMPLES}/check_receipt.py {receipt}; echo exit $?")
    assert "every row holds" in said and said.endswith("exit 0\n")
    stage.run("git -c user.name=ada -c user.email=ada@localhost commit -qam mended && echo '#' >> calc.py")
    said = stage.run(f"python {EXAMPLES}/check_receipt.py {receipt} HEAD~1; echo exit $?")
    assert said.endswith("exit 0\n"), "the working directory plays no part"


def test_run_in_ci_tells_when_nothing_could_be_done(stage: Stage) -> None:
    said = stage.run(f"python {EXAMPLES}/run_in_ci.py hi --model nope 2>/dev/null; echo exit $?")
    assert "unknown model 'nope'" in said
    assert said.endswith("exit 2\n")


def test_branch_on_exit(stage: Stage) -> None:
    script = EXAMPLES / "branch_on_exit.sh"
    assert "done: verified, or answered" in stage.run(f"{script} 'What is here?'; echo exit $?")
    assert "it needs leave" in stage.run(f"{script} 'Add a workflow'; echo exit $?")
    assert "stopped at a limit" in stage.run(f"{script} 'fix it' --max-turns 1; echo exit $?")
    assert "could not be done (2)" in stage.run(f"{script} 'fix it' --model nope; echo exit $?")


def test_drive_scripted_server(stage: Stage) -> None:
    assert stage.run(f"python {EXAMPLES}/drive_scripted_server.py >/dev/null 2>&1; echo exit $?") == "exit 0\n"


def test_every_example_is_executed_here() -> None:
    text = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*examples.py"))
    for path in EXAMPLES.iterdir():
        assert path.name.startswith(("__", ".")) or path.name in text
