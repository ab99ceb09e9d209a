"""How much a check asserts, counted from its text: what a few examples let pass proves little."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from assay.repair.locate import is_test_path
from assay.repair.source import Function, functions, parsed, used_names

UNKNOWN_LOOP = 5
"""Rounds that a loop over something that is not written out is taken to have."""
ENOUGH = 200


def assertions(sources: Mapping[str, str], tests: Sequence[str], command: str = "") -> int:
    """Assertions that the tests make, a loop's once for each round, a parametrised test's once for each identity. Tests
    are found by their identities; for a check without any, the Python files that `command` names count as a whole.
    At most `ENOUGH`; 0 when nothing can be told."""
    try:
        return min(_asserted(_Trees(sources), tests, command), ENOUGH)
    except RecursionError:
        return 0


class _Trees:
    """Files parsed once, for many tests lie in one."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = sources
        self._known: dict[str, ast.Module | None] = {}

    def of(self, path: str) -> ast.Module | None:
        if path not in self._known:
            self._known[path] = parsed(self.sources.get(path, ""))
        return self._known[path]


def _asserted(trees: _Trees, tests: Sequence[str], command: str) -> int:
    sources, total = trees.sources, 0
    for test in tests:
        whole = trees.of(file) if (file := _file_of(sources, test)) else None
        if whole is not None:
            named = [node for symbol, node in functions(whole) if symbol.rsplit(".", 1)[-1].startswith("test")]
            total += sum(_counted(node, _helpers(whole), frozenset({node.name})) for node in named)
            continue
        found = _function(trees, test)
        if found is not None:
            node, helpers = found
            total += _counted(node, helpers, frozenset({node.name}))
        if total >= ENOUGH:
            return ENOUGH
    if not tests:
        for word in re.findall(r"[\w./-]+\.py\b", command):
            tree = trees.of(word.removeprefix("./"))
            if tree is not None:
                total += _counted(tree, _helpers(tree), frozenset())
    return total


def about(sources: Mapping[str, str], symbol: str) -> int:
    """Assertions of all tests that use the name `symbol` (its last part, where dotted), whether they fail or not; of a
    parametrised one, once for each row that is written out. At most `ENOUGH`."""
    name, total = symbol.rsplit(".", 1)[-1], 0
    for path, text in sources.items():
        tree = parsed(text) if name and name in text and is_test_path(path) else None
        helpers = _helpers(tree) if tree else {}
        for own, node in functions(tree) if tree else ():
            if own.rsplit(".", 1)[-1].startswith("test") and name in used_names(node):
                try:
                    total += _counted(node, helpers, frozenset({node.name})) * _rows(node)
                except RecursionError:
                    continue
    return min(total, ENOUGH)


def _rows(node: Function) -> int:
    """How often decorators have a test run, as far as they say it."""
    rows = 1
    for each in node.decorator_list:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr == "parametrize":
            lists = [len(item.elts) for item in each.args[1:2] if isinstance(item, ast.List | ast.Tuple)]
            rows *= max(lists, default=1)
    return rows


def _file_of(sources: Mapping[str, str], test: str) -> str:
    """The file that an identity names as a whole, because it could not be loaded; "" for a test within one."""
    if test in sources or "::" in test or not test:
        return test if test in sources else ""
    path = test.replace(".", "/") + ".py"
    return path if path in sources else next((each for each in sources if each.endswith("/" + path)), "")


def _function(trees: _Trees, test: str) -> tuple[Function, dict[str, Function]] | None:
    sources, plain = trees.sources, re.split(r"\[", test, maxsplit=1)[0]
    path, _, inner = plain.partition("::")
    if inner:
        paths = [path] if path in sources else []
        symbol = inner.replace("::", ".")
    else:
        parts = plain.split(".")
        symbol = ".".join(parts[-2:])
        paths = [each for each in sources if each.endswith(".py") and each[:-3].replace("/", ".").endswith(parts[0])]
        paths += [each for each in sources if is_test_path(each) and each not in paths]
    for each in paths:
        tree = trees.of(each)
        if tree is None:
            continue
        named = [node for name, node in functions(tree) if name in (symbol, symbol.rsplit(".", 1)[-1])]
        if named:
            return named[-1], _helpers(tree)
    return None


def _helpers(tree: ast.Module) -> dict[str, Function]:
    return {node.name: node for _, node in functions(tree)}


def _counted(node: ast.AST, helpers: Mapping[str, Function], within: frozenset[str]) -> int:
    """Assertions below `node`; functions of the same file that it calls count with it."""
    total = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        own = 0
        if isinstance(child, ast.Assert):
            own = _parts(child.test)
        elif isinstance(child, ast.Call):
            name = child.func.attr if isinstance(child.func, ast.Attribute) else getattr(child.func, "id", "")
            if re.match(r"assert|fail(?:If|Unless)|raises$", str(name)):
                own = 1
            elif name in helpers and name not in within and len(within) < 4:
                own = _counted(helpers[name], helpers, within | {name})
        if not isinstance(child, ast.Assert):
            own += _counted(child, helpers, within)
        total += own * _rounds(child)
    return min(total, ENOUGH)


def _parts(test: ast.expr) -> int:
    return len(test.values) if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else 1


def _rounds(node: ast.AST) -> int:
    if isinstance(node, ast.For | ast.AsyncFor):
        if isinstance(node.iter, ast.List | ast.Tuple | ast.Set):
            return max(1, len(node.iter.elts))
        return UNKNOWN_LOOP
    return UNKNOWN_LOOP if isinstance(node, ast.While | ast.GeneratorExp | ast.ListComp) else 1
