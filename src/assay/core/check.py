"""Checks, evidence, criteria and outcomes: the words in which work is proved (contract, sections 3 and 4)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

EvidenceClass = Literal["A", "B", "C", "D", "E"]
Result = Literal["pass", "fail", "flaky", "absent", "unknown"]
CheckKind = Literal["test", "build", "type", "lint", "custom"]

OutcomeName = Literal[
    "answered", "verified", "partial", "unverified", "failed", "usage", "auth", "unavailable", "budget", "stuck",
    "no_sandbox", "needs_approval", "storage", "interrupted",
]  # fmt: skip

EXIT_CODES: dict[OutcomeName, int] = {
    "answered": 0,
    "verified": 0,
    "partial": 10,
    "unverified": 10,
    "failed": 1,
    "usage": 2,
    "auth": 3,
    "unavailable": 4,
    "budget": 5,
    "stuck": 6,
    "no_sandbox": 7,
    "needs_approval": 8,
    "storage": 9,
    "interrupted": 130,
}


class Check(Struct, frozen=True):
    """A command whose result means something."""

    name: str
    command: str
    """A shell line, run in the workspace root."""
    kind: CheckKind
    runner: str = ""
    """The test runner behind it (pytest, unittest, jest, cargo, go, ...), when identities of tests can be told."""
    source: str = ""
    """Where it was found: a file name, `--check`, `AGENTS.md`."""
    timeout: float = 600.0


class CheckRun(Struct, frozen=True):
    """One execution of a check by the harness."""

    check: str
    tree: str
    passed: bool
    exit_code: int
    seconds: float
    log: str
    """sha256:... of the whole output."""
    tail: str
    """The last lines, for a model or a person."""
    tests: dict[str, Literal["pass", "fail", "skip", "error"]] = {}
    """Identity of each test -> result, where the runner tells."""
    timed_out: bool = False


class Criterion(Struct, frozen=True):
    """One thing that must be true at the end."""

    text: str
    check: str = ""
    """The shell line or test that shows it, if any."""
    expect: str = ""
    """For a check written during the run: words that its failure on the unchanged tree must contain."""
    owner: Literal["user", "project", "model"] = "model"


class Evidence(Struct, frozen=True):
    """A check's result bound to a tree."""

    criterion: str
    command: str
    cls: EvidenceClass
    before: Result
    after: Result
    tree: str
    log: str
    seconds: float
    note: str = ""
    """Why a row counts less than it might: flaky, regressed tests, missing tests."""


class DiffStat(Struct, frozen=True):
    files: int = 0
    added: int = 0
    removed: int = 0
    protected: tuple[str, ...] = ()
    """Protected paths that were changed without leave."""


class Verdict(Struct, frozen=True):
    """What the done gate says about a tree."""

    outcome: OutcomeName
    why: str
    """One line."""
    criteria: tuple[Criterion, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    tree: str = ""
    diff: DiffStat = DiffStat()
    unchecked: tuple[str, ...] = ()
    """What nothing executable spoke for, and what was left out (flaky tests, checks that could not run)."""
    missing: str = ""
    """What to tell the model, at most about 300 tokens; empty when there is nothing it could mend."""
