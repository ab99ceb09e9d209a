"""What is red before anything is changed: the user's checks, the project's, and examples in docstrings."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping

from msgspec import structs

from assay.core.errors import WorkspaceError
from assay.repair.locate import is_test_path
from assay.repair.source import LARGEST, parsed
from assay.run.run import Run
from assay.search.examples import red_examples
from assay.search.located import readable
from assay.verify.baseline import Baseline
from assay.verify.discover import named_checks, runnable
from assay.verify.evidence import narrow
from assay.verify.runners import check_of

LONGEST = 4_000
"""Characters of instructions."""
LONGEST_OUTPUT = 400_000
"""Characters in which names of files are looked for."""

_FAILS = re.compile(r"\b(?:fail\w*|red|broken|breaks?|crash\w*|errors?|pass(?:es)?|green|succeeds?)\b", re.IGNORECASE)
_UNWANTED = re.compile(r"\b(?:don'?t|do not|never|without|avoid|instead of) run", re.IGNORECASE)


async def red_check(run: Run, tree: str, sources: Mapping[str, str]) -> Baseline | None:
    """The baseline of the first check that fails on `tree`: the user's own, the tests that the task says fail, the
    project's, and where all are green or absent, the examples in docstrings of files that the task is about."""
    gate = await run.proof.gate(tree, run.state.prompt)
    for line in run.proof.user_checks:
        baseline = await gate.ledger.of(check_of(line, "--check"))
        if baseline.result == "fail":
            return baseline
    if (told := await _told(run, tree, sources)) is not None:
        return told
    for check in await run.proof.discover(tree):
        if check.kind == "test" and (baseline := await gate.ledger.of(check)).result == "fail":
            return baseline
    return None if run.proof.user_checks else await red_examples(run, tree, sources)


async def _told(run: Run, tree: str, sources: Mapping[str, str]) -> Baseline | None:
    """Tests that the task says fail, by their command or their files, become a check of the project for this turn: the
    whole suite may take long, or may not even start here."""
    tests = {path for path in sources if is_test_path(path)}
    lines = [line for line in run.state.prompt.splitlines() if _FAILS.search(line) and not _UNWANTED.search(line)]
    named = [check for check in named_checks("\n".join(lines)) if check.kind == "test" and check.runner]
    found = [structs.replace(check, source="task") for check in named if _apart(check.command, tests)]
    files = sorted(
        tests.intersection(word.strip(".,:;!?") for line in lines for word in re.split(r"[\s`'\"()]+", line))
    )
    if not found and 0 < len(files) < len(tests):
        primary = next((check for check in await run.proof.discover(tree) if check.kind == "test"), None)
        narrowed = narrow(primary, files) if primary else None
        found = [structs.replace(narrowed, source="task")] if narrowed and narrowed != primary else []
    ledger = (await run.proof.gate(tree, run.state.prompt)).ledger
    for check in await runnable(run.parts.workspace, found) if found else ():
        if (baseline := await ledger.of(check)).result == "fail":
            await run.proof.add(tree, check)
            return baseline
    return None


def _apart(command: str, tests: set[str]) -> bool:
    """It runs some of the tests, or all of them in another way than the project would."""
    named = tests.intersection(word.partition("::")[0].removeprefix("./") for word in command.split())
    return bool(named) and (named < tests or re.match(r"cd |env |\w+=", command) is not None)


def no_python(sources: Mapping[str, str], *texts: str) -> str:
    """Which file that `texts` speak of does not parse, with the place, in one line; "" when each of them does."""
    names = {word.strip(".") for said in texts for word in re.findall(r"[\w.+-]+", said[:LONGEST_OUTPUT])}
    for path, text in sources.items():
        if path.rpartition("/")[2] not in names or parsed(text) is not None or len(text) > LARGEST:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(text)
        except SyntaxError as error:
            return f"{path} is no Python: {error.msg} (line {error.lineno})"
        except (ValueError, RecursionError, MemoryError):
            return f"{path} is no Python"
    return ""


async def instructions(run: Run, task: str) -> str:
    """The text of files that the task names (`.md`, `.txt`, `.rst`), or of instructions that lie beside the code;
    nothing that policy keeps from the model."""
    workspace = run.parts.workspace
    files = await workspace.list_files()
    texts = [path for path in files if path.endswith((".md", ".txt", ".rst"))]
    named = [path for path in texts if path in task or path.rpartition("/")[2] in task]
    beside = [path for path in texts if "instructions" in path.rpartition("/")[2].lower()]
    found: list[str] = []
    chosen = (named or beside)[:2]
    allowed = await readable(run, chosen)
    for path in chosen:
        if path not in allowed:
            continue
        try:
            found.append(workspace.read_file(path, 200_000).data.decode("utf-8", "replace")[:LONGEST])
        except WorkspaceError:
            continue
    return "\n\n".join(found)
