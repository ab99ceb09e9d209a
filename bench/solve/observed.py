"""What green candidates of a pool answer to the same inputs, run as the product does: in one process of the check's own
interpreter, inputs from the task's words and tests and their neighbours (`assay.search.clusters`)."""

from __future__ import annotations

import ast
import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from assay.core.check import Check
from assay.core.errors import WorkspaceError
from assay.repair.patch import Edit, Patch
from assay.repair.trial import Bench, Call
from assay.search.clusters import calls_in, inputs_of
from assay.workspace.local import LocalWorkspace
from bench.solve.task import Task, lay_out

CALLS = 40
SECONDS = 20.0


def behaviours(task: Task, texts: Mapping[int, str], environment: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """Candidate -> input -> digest of the answer, for the first public function of the task's file, whose new text each
    candidate is. {} when no input is known: nothing that stands in the words or tests can be called."""
    path = task.subject[0]
    name = _first_function(task.files[path])
    words = "\n".join([task.prompt, *task.files.values()])
    inputs = inputs_of(calls_in(words, name), task.files[path], CALLS) if name else []
    if not inputs or not texts:
        return {}
    calls = [Call(path, name, line) for line in inputs]
    return asyncio.run(_observed(task, path, texts, calls, environment))


async def _observed(
    task: Task, path: str, texts: Mapping[int, str], calls: list[Call], environment: Mapping[str, str]
) -> dict[int, dict[str, str]]:
    python = shutil.which("python", path=environment.get("PATH"))
    end = len(task.files[path])
    patches = [Patch((Edit(path, 0, end, text),)) for text in texts.values()]
    with tempfile.TemporaryDirectory(prefix="observe-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) / "project"
        lay_out(task, root)
        workspace = LocalWorkspace(root, sandbox=None, state_dir=Path(folder) / "state")
        try:
            bench = Bench(workspace, Check("check", f"{python} -m pytest -q", "test"), (), ())
            told = await bench.observe(patches, calls, SECONDS)
        except WorkspaceError:
            return {}
        finally:
            await workspace.aclose()
    found = {
        number: {key: answer.digest for key, answer in answers.items() if not answer.digest.startswith("absent")}
        for number, answers in zip(texts, told[1:], strict=True)
    }
    return {number: answers for number, answers in found.items() if answers}


def _first_function(source: str) -> str:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return ""
    return next((node.name for node in body if isinstance(node, ast.FunctionDef)), "")
