"""Protected paths: the tests, test configuration, CI files and lockfiles of the start tree.

Adding tests is welcome, also to a file that exists, as long as everything that stood there stays as it was. Editing,
deleting, renaming or skip-marking what existed needs leave. Files that mix test configuration with other matters
(pyproject.toml, package.json, setup.cfg) are protected in that part only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Literal

from msgspec import Struct

from assay.core.workspace import Change, Workspace
from assay.verify.additive import adds_only, settings_part

PathKind = Literal["test", "settings", "mixed", "ci", "lock", "other"]

LOCKS = (
    "poetry.lock uv.lock pdm.lock Pipfile.lock pylock.toml package-lock.json npm-shrinkwrap.json pnpm-lock.yaml "
    "yarn.lock bun.lock bun.lockb Cargo.lock go.sum Gemfile.lock composer.lock gradle.lockfile"
)
SETTINGS = re.compile(
    r"conftest\.py|\.?pytest\.(ini|toml)|tox\.(ini|toml)|noxfile\.py|\.coveragerc|sitecustomize\.py|usercustomize\.py"
    r"|.*\.pth|(jest|vitest|vite|karma|playwright|cypress|ava|eslint|babel)\.(config|conf|workspace)\..*|\.mocharc.*"
    r"|\.eslintrc.*|\.?ruff\.toml|\.?mypy\.ini|\.flake8|pyrightconfig\.json|(GNUm|M|m)akefile|[Jj]ustfile"
    r"|Taskfile\.ya?ml|CTestTestfile\.cmake|\.nycrc.*|\.npmrc|\.yarnrc(\.yml)?|\.pnpmfile\.cjs|\.pnp\.c?js|bunfig\.toml"
    r"|\.envrc|\.env(\.test)?|\.(python|node)-version|\.nvmrc|\.tool-versions|\.?mise\.toml|pyvenv\.cfg"
    r"|(run[-_]?)?(tests?|checks?|ci|verify)([-_]\w+)?\.(sh|bash|ps1|bat)|run[-_]?tests?(\.(py|[cm]?js))?"
)
MIXED = frozenset(("pyproject.toml", "setup.cfg", "package.json"))
CI = re.compile(
    r"(\.github/(workflows|actions)/|\.circleci/|\.gitlab/ci/|\.ci/|\.buildkite/)"
    r"|^(\.gitlab-ci\.yml|\.travis\.yml|Jenkinsfile|azure-pipelines\.yml|appveyor\.yml|bitbucket-pipelines\.yml"
    r"|\.drone\.yml|\.woodpecker\.yml|\.pre-commit-config\.yaml|codecov\.yml)$"
)
TEST_DIRS = frozenset((
    "tests", "__tests__", "testdata", "test-data", "test_data", "__snapshots__", "snapshots", "__fixtures__",
    "__mocks__", "golden", "goldens",
))  # fmt: skip
TEST_ROOTS = ("test/", "spec/", "specs/", "src/test/", "e2e/", "cypress/")
TEST_FILE = re.compile(
    r"(test_.*|.*_test|tests)\.py|.*_test\.(go|c|cc|cpp|rb|exs|dart)|.*[.-](test|spec)(-d)?\.[cm]?[jt]sx?|.*_spec\.rb"
    r"|.*(Test|Tests|TestCase|Spec|IT)\.(java|kt|groovy|scala|cs|php|swift)|Test[A-Z].*\.(java|kt)"
    r"|.*\.(snap|golden|approved\.\w+)|(.*[._-])?(expected|golden)([._-].*)?\.(json|txt|csv|out|ya?ml|xml|html)"
)


class Division(Struct, frozen=True):
    """The changed paths of a run, by what they are to the checks."""

    violations: tuple[str, ...] = ()
    """Protected paths changed without leave."""
    new_tests: tuple[str, ...] = ()
    """Test files (and their data) added, or extended without touching what stood there."""
    new_settings: tuple[str, ...] = ()
    """Test configuration added where there was none."""
    leave: tuple[str, ...] = ()
    """Protected paths changed with leave."""
    sources: tuple[str, ...] = ()
    """Everything else."""

    @property
    def parity(self) -> list[str]:
        """Paths to take from the start tree when the existing checks are run again."""
        return [*self.violations, *self.new_tests, *self.new_settings]


def path_kind(path: str) -> PathKind:
    """What a path is to the checks, by its name alone."""
    pure = PurePosixPath(path)
    if f" {pure.name} " in f" {LOCKS} ":
        return "lock"
    if CI.search(path):
        return "ci"
    if SETTINGS.fullmatch(pure.name):
        return "settings"
    if pure.name in MIXED:
        return "mixed"
    if TEST_DIRS.intersection(pure.parts[:-1]) or path.startswith(TEST_ROOTS) or TEST_FILE.fullmatch(pure.name):
        return "test"
    return "other"


def protected_paths(paths: Iterable[str]) -> list[str]:
    """Those of the start tree's `paths` that are protected, mixed ones included."""
    return [path for path in paths if path_kind(path) != "other"]


async def divide(
    workspace: Workspace,
    start: str,
    final: str,
    changes: Sequence[Change],
    leave: frozenset[str] = frozenset(),
    guarded: frozenset[str] = frozenset(),
) -> Division:
    """Sort `changes` between two trees. `leave` holds paths that may be changed, `guarded` further protected ones."""
    found: dict[str, list[str]] = {"violations": [], "new_tests": [], "new_settings": [], "leave": [], "sources": []}
    for change in changes:
        place = await _place(workspace, start, final, change, leave)
        if place == "sources" and change.path in guarded and change.path not in leave:
            place = "violations"
        found[place].append(change.path)
    return Division(**{name: tuple(paths) for name, paths in found.items()})


async def _place(workspace: Workspace, start: str, final: str, change: Change, leave: frozenset[str]) -> str:
    kind = path_kind(change.path)
    if kind == "other":
        return "sources"
    before = await workspace.read_at(start, change.path)
    after = await workspace.read_at(final, change.path)
    if kind == "mixed" and settings_part(change.path, before) == settings_part(change.path, after):
        return "sources"
    if before is not None and change.path in leave:
        return "leave"
    if before is None:
        return {"test": "new_tests", "settings": "new_settings", "mixed": "new_settings"}.get(kind, "sources")
    if kind == "test" and after is not None and adds_only(change.path, before, after):
        return "new_tests"
    return "violations"


RUN = re.compile(r"(?:^|[\s;&|/])python[\d.]*\s+(?:-[A-Za-z]+\s+)*([\w./-]+\.py)(?=$|[\s;&|])")


async def judges(workspace: Workspace, start: str, commands: Sequence[str]) -> frozenset[str]:
    """Programs that a user's check runs to judge other code: they assert something themselves, and load something else
    of the project. Whoever changes one is judged by himself, so it is protected like a test, whatever its name."""
    found: set[str] = set()
    for path in {match[1].removeprefix("./") for line in commands for match in RUN.finditer(line)}:
        text = (await workspace.read_at(start, path) or b"").decode("utf-8", "replace")
        if not re.search(
            r"^\s*assert\b|\bsys\.exit\(|\bSystemExit\b|^\s*(?:import|from) (?:unittest|pytest|doctest)\b", text, re.M
        ):
            continue
        folder = path.rpartition("/")[0]
        for name in re.findall(r"^\s*(?:from|import)\s+\.*(\w+)", text, re.M):
            roots = [f"{root}/{name}".lstrip("/") for root in {"", folder, "src"}]
            places = [place for root in roots for place in (f"{root}.py", f"{root}/__init__.py") if place != path]
            if any([await workspace.read_at(start, place) is not None for place in places]):
                found.add(path)
                break
    return frozenset(found)


def matching(paths: Iterable[str], patterns: Iterable[str]) -> frozenset[str]:
    """Those of `paths` that one of the settings' `patterns` names: a path, a glob, or a directory with a slash at its
    end."""
    from fnmatch import fnmatchcase

    globs = [f"{pattern}*" if pattern.endswith("/") else pattern for pattern in patterns]
    return frozenset(path for path in paths if any(fnmatchcase(path, glob) for glob in globs))


VERB = (
    r"(?:updat|edit|chang|rewrit|modif|adapt|adjust|delet|remov|renam|mov|replac|regenerat|bump|relax|correct"
    r"|refactor|skip|upgrad|reformat)(?:e|es|ing|y|ies|ying|ed|s)?"
)
STOP = r"(?:so|until|make|makes|pass|passes|run|running|because|since|that|such|without|unless|except|but|not|never)"


def leave_from_prompt(prompt: str, paths: Iterable[str]) -> frozenset[str]:
    """Those of `paths` that a prompt asks to change: a verb of change with the path (or its directory, or its file
    name) after it in the same clause. Merely naming a test, as in "fix what tests/test_a.py shows", gives no leave."""
    granted: set[str] = set()
    folded = prompt.casefold()
    for path in paths:
        names = {path, PurePosixPath(path).name}
        names.update(f"{parent}/" for parent in PurePosixPath(path).parents if str(parent) != ".")
        for name in names:
            if name.casefold() not in folded:
                continue
            pattern = (
                rf"(?<!\w){VERB}\b(?:(?!\b{STOP}\b)[^.;:\n]|\.(?=\w)){{0,60}}?(?<![\w/.-]){re.escape(name)}(?![\w/-])"
            )
            if any(not _negated(prompt, match.start()) for match in re.finditer(pattern, prompt, re.I)):
                granted.add(path)
                break
    return frozenset(granted)


def _negated(prompt: str, at: int) -> bool:
    return bool(
        re.search(r"(?:\b(?:not|never|without|avoid|no)|n['’]t)\s+(?:\w+\s+)?$", prompt[max(0, at - 30) : at], re.I)
    )
