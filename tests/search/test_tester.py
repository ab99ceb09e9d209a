from __future__ import annotations

from types import SimpleNamespace

import pytest

from assay.core.check import Check
from assay.search.written import Written
from assay.search.written_run import Tester as Author
from assay.verify.runners import Execution


class Runs:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, check: Check, tree: str, why: str) -> Execution:
        self.asked.append(check.command)
        raise Stopped


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("path", "command"),
    [("test_new.py", "python -m pytest test_new.py"), ("new.test.js", "npm test"), ("new_test.go", "npm test")],
)
async def test_a_written_check_is_run_by_what_runs_files_of_its_language(path: str, command: str) -> None:
    runs = Runs()

    async def discover(tree: str) -> list[Check]:
        checks = [Check("lint", "eslint .", "lint"), Check("js", "npm test", "test", "jest")]
        return [*checks, Check("py", "python -m pytest", "test", "pytest")]

    async def gate(start: str, prompt: str) -> SimpleNamespace:
        return SimpleNamespace(runs=runs)

    run = SimpleNamespace(proof=SimpleNamespace(discover_in=discover, gate=gate), state=SimpleNamespace(prompt=""))
    tester = Author(run, "start", ())  # type: ignore[arg-type]

    async def planted(tree: str, checks: object) -> str:
        return tree

    tester.planted = planted  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        await tester.ran("tree", Written(path, "", ""))
    assert runs.asked == [command]
