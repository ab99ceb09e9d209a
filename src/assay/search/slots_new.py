"""New code from a specification: what the failing tests use and nobody has written, one definition at a time."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from assay.core.messages import AssistantMessage, Message, Text, UserMessage
from assay.core.model import ModelRequest
from assay.repair.excerpt import spec_of
from assay.repair.merge import merge, module_from
from assay.repair.patch import Patch, between
from assay.repair.source import docstring, functions, lines_of, parsed
from assay.repair.unwritten import Unwritten, unwritten
from assay.search.slots import Ask, Search
from assay.search.slots_asks import second_turn, whole
from assay.search.slots_words import Failing, Fate, Found, Limits

TASK_CHARACTERS = 2_400
TEST_CHARACTERS = 1_800
FILE_CHARACTERS = 1_500
OUTPUT_TOKENS = 700
MOST = 12
"""Definitions in one task."""

FILE = "The file `{path}` so far:\n```python\n{text}\n```\n\n"
TESTS = "It must pass these tests:\n```python\n{tests}\n```\n\n"
WRITE_MODULE = "Write the Python file `{path}` with {names}, completely, in one ```python block. No tests."
WRITE_METHOD = "Write the class `{owner}` with its method `{name}` completely, in one ```python block. No tests."
WRITE_NAMES = "Write {names} of `{path}` completely, in one ```python block. No tests."


class Brief(Struct, frozen=True):
    """What is known of one definition to write."""

    item: Unwritten
    task: str
    tests: str = ""
    """An excerpt of the tests that use it."""


def tests_about(sources: Mapping[str, str], tests: Sequence[str], names: Sequence[str]) -> str:
    """Failing tests that use any of `names`, without their docstrings, as many as have room; plain asserts of a file
    without functions, too."""
    files = list(dict.fromkeys(test.split("::")[0] for test in tests if test.split("::")[0] in sources))
    wanted = {part for name in names for part in name.split(".")}
    found: list[str] = []
    room = TEST_CHARACTERS
    for path in files:
        tree = parsed(sources[path])
        lines = lines_of(sources[path])
        plain = [item for item in tree.body if isinstance(item, ast.Assert)] if tree is not None else []
        held = [node for name, node in functions(tree) if "test" in name.lower()] if tree is not None else []
        for node in [*plain, *held]:
            if wanted.isdisjoint(_words(node)):
                continue
            text = _bare(node, lines)
            if len(text) > room and found:
                return "\n".join(found)
            found.append(text[:room])
            room -= len(text)
    return "\n".join(found)


def _words(node: ast.AST) -> set[str]:
    return {
        item.id if isinstance(item, ast.Name) else item.attr
        for item in ast.walk(node)
        if isinstance(item, ast.Name | ast.Attribute)
    }


def _bare(node: ast.stmt, lines: list[str]) -> str:
    text = docstring(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None
    body = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    left = range(text.lineno, (text.end_lineno or text.lineno) + 1) if text is not None else range(0)
    return textwrap.dedent("\n".join(lines[number - 1] for number in body if number not in left))


def ask_for(brief: Brief, sources: Mapping[str, str], prefill: bool, temperature: float, samples: int) -> Ask:
    """The request for one definition; `sources` are the files as they are by now."""
    item = brief.item
    source = sources.get(item.path, "")
    start = _start(item, source)

    def wanted(seed: int) -> ModelRequest:
        messages: list[Message] = [UserMessage((Text(_prompt(brief, source)),))]
        stop: tuple[str, ...] = ()
        if prefill:
            messages.append(AssistantMessage((Text(start),), "end"))
            stop = ("```",)
        return ModelRequest(
            "",
            (),
            tuple(messages),
            max_output=OUTPUT_TOKENS,
            temperature=temperature,
            seed=seed,
            stop=stop,
            samples=samples,
        )

    def read(reply: str) -> tuple[Patch | None, str]:
        text = whole(start, reply) if prefill else reply
        names = item.names[:1] if item.kind == "method" else item.names
        code, reason = module_from(text, names)
        if not code:
            return None, reason
        wished = [item.symbol] if item.kind == "method" else [] if item.kind == "module" else list(item.names)
        merged = merge(source, code, wished)
        if not merged.text:
            return None, merged.reason
        return between(item.path, source, merged.text, f"new-{item.kind}"), ""

    where = f"{item.path}:{item.symbol}"
    return Ask(where, f"new-{item.kind}", wanted, read, lambda reply, note: second_turn(wanted(1), reply, note))


def _prompt(brief: Brief, source: str) -> str:
    item = brief.item
    text = brief.task[:TASK_CHARACTERS].rstrip() + "\n\n"
    shown = _shown(item, source)
    if shown:
        text += FILE.format(path=item.path, text=shown)
    if brief.tests:
        text += TESTS.format(tests=brief.tests)
    names = ", ".join(f"`{name}`" for name in item.names)
    if item.kind == "method":
        return text + WRITE_METHOD.format(owner=item.names[0], name=item.names[-1])
    return text + (WRITE_MODULE if item.kind == "module" or not source.strip() else WRITE_NAMES).format(
        path=item.path, names=names
    )


def _shown(item: Unwritten, source: str) -> str:
    """The file, or of a large one the class at least."""
    if not source.strip() or len(source) <= FILE_CHARACTERS:
        return source.strip()
    tree = parsed(source)
    node = next((node for node in tree.body if getattr(node, "name", "") == item.names[0]), None) if tree else None
    if node is None:
        return ""
    return "\n".join(lines_of(source)[node.lineno - 1 : node.end_lineno])[:FILE_CHARACTERS]


def _start(item: Unwritten, source: str) -> str:
    """How a good answer begins: with the signature where the file has a stub."""
    if item.kind == "stub" and (spec := spec_of(source, item.names[0])) is not None and spec.head:
        return f"```python\n{spec.head}\n"
    return "```python\n"


async def write_missing(search: Search, failing: Failing, task: str, limits: Limits, prefill: bool) -> Found | None:
    """Write what the failing tests need and nobody has written, one definition after the other, each from the best
    state so far; then those again whose tests stay red. The end, if it came. Only files that `search.sources` names
    are written, "" being one to come."""
    written: list[Unwritten] = []
    while len(written) < MOST:
        known = {(item.path, item.symbol) for item in written}
        items = [
            item
            for item in unwritten(search.sources, failing.tests, failing.output)
            if (item.path, item.symbol) not in known and item.path in search.sources
        ]
        if not items:
            break
        written.append(items[0])
        others = {name for other in items[1:] for name in (*other.names, _module(other.path))}
        share = max(limits.samples // len(items), limits.batch)
        found = await _written(search, items[0], others, failing, Terms(task, limits, prefill, share))
        if found is not None:
            return found
        if len(items) > 1 and not search.rebase():
            break
    for item in written if len(written) > 1 else []:
        # By now all of them can run, so that each is judged by its own tests.
        again = Unwritten(item.path, item.names, "method" if item.kind == "method" else "stub")
        found = await _written(search, again, set(), failing, Terms(task, limits, prefill, limits.batch))
        if found is not None:
            return found
        search.rebase()
    return None


class Terms(Struct, frozen=True):
    task: str
    limits: Limits
    prefill: bool
    share: int
    """Samples of this definition."""


async def _written(search: Search, item: Unwritten, others: set[str], failing: Failing, terms: Terms) -> Found | None:
    about = tests_about(search.sources, failing.tests, item.names)
    own = _tests_of(search.sources, failing.tests, set(item.names), others)

    def enough(fate: Fate) -> bool:
        """Its tests pass; or they can't run, for want of what is written next."""
        reasons = (fate.note, *fate.failing.values())
        waits = any(f"'{name}'" in reason for name in others for reason in reasons)
        return waits or (bool(own) and own <= set(fate.passed))

    # While others are missing no change of this one alone makes everything green.
    return await search.run(_asks(Brief(item, terms.task, about), search.sources, terms), enough, near=not others)


def _module(path: str) -> str:
    return path.removesuffix(".py").rpartition("/")[2]


def _asks(brief: Brief, sources: Mapping[str, str], terms: Terms) -> Iterator[Ask]:
    yield ask_for(brief, sources, terms.prefill, 0.0, 1)
    left = terms.share - 1
    while left > 0:
        many = min(terms.limits.batch, left)
        left -= many
        yield ask_for(brief, sources, terms.prefill, terms.limits.temperature, many)


def _tests_of(sources: Mapping[str, str], tests: Sequence[str], names: set[str], others: set[str]) -> set[str]:
    """Those of `tests` (identities) that use `names` and none of `others`."""
    trees = {path: parsed(sources.get(path, "")) for path in {test.partition("::")[0] for test in tests}}
    words: dict[tuple[str, str], set[str]] = {}
    for path, tree in trees.items():
        for symbol, node in functions(tree) if tree else ():
            words[path, symbol] = _words(node)
            # A class may have its tests from another one.
            words.setdefault((path, symbol.rpartition(".")[2]), words[path, symbol])
    found: set[str] = set()
    for test in tests:
        path, _, rest = test.partition("::")
        symbol = rest.split("[")[0].replace("::", ".")
        used = words.get((path, symbol)) or words.get((path, symbol.rpartition(".")[2]), set())
        if names & used and not others & used:
            found.add(test)
    return found
