"""The receipt: the evidence of a finished turn as a file that anyone can check again on the same tree."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import cast

from msgspec import DecodeError, Struct, ValidationError, convert, json, to_builtins

from assay._version import __version__
from assay.core.check import Criterion, DiffStat, Evidence, OutcomeName, Result, Verdict
from assay.core.errors import AssayError, UsageError
from assay.core.events import AttemptFinished, AttemptSelected
from assay.core.messages import Json
from assay.core.workspace import Workspace
from assay.verify.baseline import Runs
from assay.verify.runners import check_of

SCHEMA = 1


class Receipt(Struct, frozen=True):
    """Version 1. Unknown fields of later versions are ignored when read."""

    schema: int
    outcome: OutcomeName
    why: str
    start: str
    """The tree before the run."""
    tree: str
    """The tree that the evidence speaks for."""
    diff: DiffStat
    patch: str
    """What was changed, in git's format."""
    criteria: tuple[Criterion, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    unchecked: tuple[str, ...] = ()
    tools: dict[str, str] = {}
    """Name -> version of what did the checking."""
    attempts: tuple[AttemptFinished, ...] = ()
    """The attempts of the turn, in the order in which they ended; none where there was but one."""
    selected: AttemptSelected | None = None
    """Which of them it is that the evidence speaks for, and why."""


class ReceiptMismatch(AssayError):
    """The files are not those that the receipt speaks for."""


async def receipt_of(
    workspace: Workspace,
    start: str,
    verdict: Verdict,
    attempts: Sequence[AttemptFinished] = (),
    selected: AttemptSelected | None = None,
) -> Receipt:
    """The receipt of a verdict."""
    return Receipt(
        schema=SCHEMA,
        outcome=verdict.outcome,
        why=verdict.why,
        start=start,
        tree=verdict.tree,
        diff=verdict.diff,
        patch=await workspace.patch(start, verdict.tree) if verdict.tree not in ("", start) else "",
        criteria=verdict.criteria,
        evidence=verdict.evidence,
        unchecked=verdict.unchecked,
        tools={"assay": __version__, "python": platform.python_version(), "system": platform.system()},
        attempts=tuple(attempts) if selected else (),
        selected=selected,
    )


def write_receipt(receipt: Receipt) -> bytes:
    """As indented JSON, to be put into a file. A row's class is called `class`, as in the result object."""
    found: dict[str, Json] = to_builtins(receipt)
    found["evidence"] = _renamed(found.get("evidence"), "cls", "class")
    return json.format(json.encode(found), indent=2) + b"\n"


def _renamed(rows: Json, old: str, new: str) -> list[Json]:
    """Rows of evidence with one key under its other name, at its place."""
    found: list[Json] = []
    for row in cast("list[Json]", rows) if isinstance(rows, (list, tuple)) else []:
        known = cast("dict[str, Json]", row) if isinstance(row, dict) else {}
        found.append({new if key == old else key: value for key, value in known.items()})
    return found


def read_receipt(data: bytes, name: str = "receipt") -> Receipt:
    """Raises `UsageError` when `data` is no receipt, or one of a version that this program doesn't know. Older receipts
    say `cls` for `class`."""
    try:
        found = json.decode(data, type=dict[str, object])
        found["evidence"] = _renamed(found.get("evidence"), "class", "cls")
        receipt = convert(found, Receipt)
    except (DecodeError, ValidationError, UnicodeError, RecursionError) as error:
        raise UsageError(f"{name} is not a receipt: {error}") from error
    if receipt.schema != SCHEMA:
        raise UsageError(f"{name} has schema {receipt.schema}; this version reads {SCHEMA}, use a newer assay")
    return receipt


async def recheck(workspace: Workspace, receipt: Receipt) -> list[tuple[Evidence, Result]]:
    """Run the command of each row again in a clean copy of the present files. Raises `ReceiptMismatch` when these are
    not the tree of the receipt. The commands come out of the receipt: the caller decides whether to trust it."""
    tree = await workspace.snapshot()
    if tree != receipt.tree:
        raise ReceiptMismatch(
            f"the files here are tree {tree[:12]}, the receipt is for {receipt.tree[:12]}: check out that state first"
        )
    runs = Runs(workspace)
    return [(row, (await runs.get(check_of(row.command, "receipt"), tree, "final")).result) for row in receipt.evidence]
