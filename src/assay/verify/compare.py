"""Test-identity parity: what a check says now against what it said before."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from assay.core.check import Result
from assay.verify.baseline import Baseline
from assay.verify.runners import Execution, first_words


class Comparison(Struct, frozen=True):
    fixed: tuple[str, ...] = ()
    """Identities that failed before and pass now."""
    broken: dict[str, str] = {}
    """What passed before and is not reported as passed now -> why, in one line. A command without identities stands
    under the name of its check."""
    still: tuple[str, ...] = ()
    """Identities that failed before and don't pass now."""
    kept: int = 0
    """Identities that passed before and pass now."""
    before: Result = "unknown"
    after: Result = "unknown"


def compare(before: Baseline, after: Execution, excused: frozenset[str] = frozenset()) -> Comparison:
    """`excused` identities belong to tests that the user allowed to be changed: they can't be broken."""
    now = after.run.tests
    name = before.check.name
    broken = {
        test: why_broken(test, after) for test in before.passing if now.get(test) != "pass" and test not in excused
    }
    if broken and not now:
        broken = {f"{len(broken)} tests of {name}": f"now {silence(after)}"}
    elif not broken and before.result == "pass" and not after.run.passed:
        broken = whole_command(name, before, after, excused)
    still = tuple(test for test in before.failing if not mended(test, now))
    return Comparison(
        fixed=fixed(before, after, still),
        broken=broken,
        still=still if before.named else ((name,) if before.result == "fail" and not after.run.passed else ()),
        kept=sum(now.get(test) == "pass" for test in before.passing),
        before=before.result,
        after=after.result,
    )


def fixed(before: Baseline, after: Execution, still: tuple[str, ...]) -> tuple[str, ...]:
    if before.named:
        return tuple(test for test in before.failing if test not in still)
    return (before.check.name,) if before.result == "fail" and after.run.passed else ()


def whole_command(name: str, before: Baseline, after: Execution, excused: frozenset[str]) -> dict[str, str]:
    """The command ended red although no steady test did: a threshold, a warning, a crash; or an unknown test."""
    known = before.flaky | excused
    new = [test for test in after.failing if test not in known]
    if after.failing and not new:
        return {}  # only flaky or excused tests are red
    if new:
        return {test: why_broken(test, after) for test in new}
    return {name: f"now {silence(after)}"}


def mended(test: str, now: Mapping[str, str]) -> bool:
    """A test passes now; for a module that could not be loaded: its tests do."""
    if test in now:
        return now[test] == "pass"
    inside = [result for name, result in now.items() if name.startswith((f"{test}::", f"{test}."))]
    return bool(inside) and all(result in ("pass", "skip") for result in inside) and "pass" in inside


def why_broken(test: str, after: Execution) -> str:
    result = after.run.tests.get(test)
    if result is None:
        return "is not reported any more"
    if result == "skip":
        return "is skipped now"
    return f"fails now: {first_words(after.report.reasons.get(test, ''))}".rstrip(": ")


def silence(after: Execution) -> str:
    if after.run.timed_out:
        return f"the command did not end within {after.check.timeout:g} s"
    if after.run.exit_code == 0:
        return "the runner ended without its report"
    last = after.run.tail.splitlines()[-1] if after.run.tail else ""
    return f"the command ends with exit code {after.run.exit_code}: {last[:160]}".rstrip(": ")
