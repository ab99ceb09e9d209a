"""Checks written during a run, and how they earn a vote.

Tests that models write are wrong more often than not (62 % of them fail on the reference solution in one audit:
research on test-time compute, A.2), so a written check counts only when three things hold, all of which are run:

1. On the unchanged tree it fails, and the failure says what its author said it would.
2. Candidates that are otherwise green and behave differently from each other don't contradict it by a majority.
3. It can fail on a change much like the chosen one: it kills at least one mutant of it.

Its author, the tester, sees the task and the code as it is, and never what a candidate changed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from assay.core.messages import AssistantMessage, Message, Text, UserMessage
from assay.core.model import ModelRequest
from assay.core.protected import protected_part
from assay.verify.protect import path_kind

LONGEST = 20_000
"""Characters of one written check."""
MUTANTS = 6
"""Mutants of the chosen change that each check is tried on."""
ANSWER_TOKENS = 1_500

ASK = """\
You are the tester now, and somebody else makes the change. Write at most {count} small tests that fail on the code as \
it is now because of what the task asks for, and that pass once it is done. Each must follow from the task alone: \
expect nothing that the task does not say. Answer with the files and nothing else, no calls. For each:

```{language} path={example}
{comment} fails now with: WORDS THAT THE FAILURE'S MESSAGE WILL CONTAIN
...
```"""

_BLOCK = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*?path=[\"']?([^\s\"'`]+)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.M | re.S)
_BECAUSE = re.compile(r"^\s*(?://|#|--|;|/?\*+)\s*fails now with:\s*(.+?)\s*(?:\*/)?\s*$", re.M | re.I)


class Written(Struct, frozen=True):
    """A check as its author wrote it: one new file."""

    path: str
    text: str
    because: str
    """Words that its failure on the unchanged tree must contain."""


class Ran(Struct, frozen=True):
    """What a written check said about one tree."""

    result: Literal["pass", "fail", "none"]
    """`none` when it could not run, or nothing in it did."""
    reason: str = ""


class Earned(Struct, frozen=True):
    """A written check that may vote, and why."""

    check: Written
    reason: str
    """How it failed on the unchanged tree, in one line."""
    votes: dict[int, bool]
    """Number of a candidate -> is it green there."""


class Ports(Struct, frozen=True):
    ask: Callable[[ModelRequest], Awaitable[AssistantMessage]]
    """As the tester: what it says is no part of the conversation."""
    run: Callable[[str, Written], Awaitable[Ran]]
    """The check, put into a copy of a tree."""


def example_of(files: Sequence[str]) -> tuple[str, str, str]:
    """Language, path and comment sign of a test as this project would have it, from the names of its files."""
    tests = [path for path in files if path_kind(path) == "test"]
    for language, suffix, name, comment in (
        ("python", ".py", "test_{}.py", "#"),
        ("javascript", ".js", "{}.test.js", "//"),
        ("typescript", ".ts", "{}.test.ts", "//"),
        ("javascript", ".mjs", "{}.test.mjs", "//"),
        ("go", ".go", "{}_test.go", "//"),
    ):
        beside = next((path for path in tests if path.endswith(suffix)), "")
        if beside or any(path.endswith(suffix) for path in files):
            folder = beside.rpartition("/")[0]
            if not beside and suffix == ".py":
                folder = "tests" if any(path.startswith("tests/") for path in files) else ""
            return language, f"{folder}/{name.format('NAME')}".lstrip("/"), comment
    return "", "", ""


def request_checks(system: ModelRequest, files: Sequence[str], count: int) -> ModelRequest | None:
    """The request to the tester: that of the solver (`system`: its system, tools and messages so far, which the
    provider has cached) with other words behind it. None where we know no way to write a test for these `files`."""
    from msgspec.structs import replace

    language, example, comment = example_of(files)
    if not language:
        return None
    text = Text(ASK.format(count=count, language=language, example=example, comment=comment))
    messages: list[Message] = [*system.messages]
    if messages and isinstance(messages[-1], UserMessage):
        messages[-1] = UserMessage((*messages[-1].parts, text))
    else:
        messages.append(UserMessage((text,)))
    return replace(system, messages=tuple(messages), max_output=ANSWER_TOKENS * max(count, 1))


def read_checks(reply: str, files: Sequence[str], count: int) -> list[Written]:
    """The checks in a tester's reply, at most `count`: new files at the places of tests. Never raises."""
    known = {*files}
    found: dict[str, Written] = {}
    for match in _BLOCK.finditer(reply[: LONGEST * 4]):
        path, text = match[2].removeprefix("./"), match[3]
        because = _BECAUSE.search(text)
        parts = path.split("/")
        sound = path_kind(path) == "test" and ".." not in parts and not path.startswith(("/", "-", "~"))
        if sound and not protected_part(parts) and because and path not in known and len(text) <= LONGEST:
            found.setdefault(path, Written(path, text, because[1][:200]))
    return [*found.values()][:count]


async def earn(
    checks: Sequence[Written],
    start: str,
    candidates: Mapping[int, str],
    clusters: Mapping[int, str],
    run: Callable[[str, Written], Awaitable[Ran]],
) -> tuple[list[Earned], dict[str, str]]:
    """Rules 1 and 2: the checks that may vote, and why the others may not (path -> one line).

    `candidates` are the trees of otherwise green ones by number, `clusters` what each behaves like: several that
    behave alike have one voice.
    """
    earned: list[Earned] = []
    dropped: dict[str, str] = {}
    for check in checks:
        before = await run(start, check)
        if why := _unstated(check, before):
            dropped[check.path] = why
            continue
        votes = {number: (await run(tree, check)).result == "pass" for number, tree in candidates.items()}
        voices: dict[str, list[bool]] = {}
        for number, green in votes.items():
            voices.setdefault(clusters.get(number) or f"#{number}", []).append(green)
        against = sum(not any(each) for each in voices.values())
        if voices and against * 2 > len(voices):
            dropped[check.path] = f"{against} of {len(voices)} different results contradict it"
            continue
        earned.append(Earned(check, before.reason, votes))
    return earned, dropped


def _unstated(check: Written, before: Ran) -> str:
    """Why its run on the unchanged tree does not show what its author said; "" when it does."""
    if before.result == "pass":
        return "passes on the unchanged tree"
    if before.result == "none":
        return f"could not run on the unchanged tree: {before.reason}"[:200]
    lost = [word for word in check.because.casefold().split() if word not in before.reason.casefold()]
    return f"failed without the stated {lost[0]!r}: {before.reason}"[:200] if lost else ""


async def kills(
    check: Written, mutants: Sequence[str], run: Callable[[str, Written], Awaitable[Ran]], most: int = MUTANTS
) -> bool:
    """Rule 3: it fails on at least one of the trees `mutants`, of which `most` are tried."""
    for tree in mutants[:most]:
        if (await run(tree, check)).result == "fail":
            return True
    return False
