"""What failing tests use and nobody has written yet: modules, functions, classes and methods that are missing, and
stubs. Found in the text of tests and sources, not in what the check printed: an error at import hides all others."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from assay.repair.locate import is_test_path
from assay.repair.source import Function, docstring, parsed

Kind = Literal["module", "function", "class", "method", "stub"]
KNOWN = frozenset(
    [
        "pytest",
        "hypothesis",
        "numpy",
        "pandas",
        "requests",
        "attr",
        "attrs",
        "yaml",
        "django",
        "flask",
        "mock",
        "parameterized",
        "setuptools",
    ]
)
"""Packages that tests import everywhere: their absence is an installation to make, not code to write."""
_NO_MODULE = re.compile(r"No module named '([\w.]{1,200})'")
_NO_NAME = re.compile(r"\b(?:\w*ImportError|ModuleNotFoundError|AttributeError|NameError|has no attribute)\b")
"""What Python says of a name that is not there."""
_NO_ATTRIBUTE = re.compile(r"'(\w{1,100})' (?:object )?has no attribute '(\w{1,100})'")


class Unwritten(Struct, frozen=True):
    """One definition to write."""

    path: str
    names: tuple[str, ...]
    """On the level of the module: what the file, or for a method the class, must define. For a method, two: class and
    method."""
    kind: Kind

    @property
    def symbol(self) -> str:
        return ".".join(self.names) if self.kind == "method" else ", ".join(self.names)


def is_stub(node: Function) -> bool:
    """A body that does nothing: `pass`, `...`, `raise NotImplementedError`, beside a docstring or alone."""
    if any(_last_name(decorator) in ("abstractmethod", "overload") for decorator in node.decorator_list):
        return False
    body = node.body[1:] if docstring(node) is not None else node.body
    return all(_idle(statement) for statement in body)


def _idle(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError"))):
            return True
        case _:
            return False


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def unwritten(sources: Mapping[str, str], tests: Sequence[str], output: str = "") -> list[Unwritten]:
    """Definitions that the failing `tests` (identities, or paths) need and that are missing from `sources` or are
    stubs there; files that others import come first. `output` of the check tells which modules are nowhere else
    either, and which methods objects lack. Never raises."""
    files = _test_files(sources, tests)
    trees = {path: tree for path in sources if path.endswith(".py") and (tree := parsed(sources[path])) is not None}
    found: dict[tuple[str, str], Unwritten] = {}
    needed: dict[str, set[str]] = {}
    """Path -> names that tests take from it."""
    queue = [path for path in files if path in trees]
    done: set[str] = set()
    while queue:
        path = queue.pop(0)
        if path in done:
            continue
        done.add(path)

        def is_module(name: str, path: str = path) -> bool:
            return _file_of(name, path, sources) is not None

        for module, taken in _imports(trees[path], path, is_module):
            target = _file_of(module, path, sources)
            names = {name for name in taken if not is_module(f"{module}.{name}")}
            if target is None and (made := _new_file(module, path, sources, bool(names))):
                _join(found, Unwritten(made, tuple(sorted(names)), "module"))
            elif target is not None and target in trees and not is_test_path(target):
                needed.setdefault(target, set()).update(names)
                queue.append(target)
    absent = {name.split(".")[0] for name in _NO_MODULE.findall(output[:400_000])}
    if not absent & {item.path.removesuffix(".py").removeprefix("src/").split("/")[0] for item in found.values()}:
        stems = {item.path.removesuffix(".py").rpartition("/")[2] for item in found.values()}
        found = found if absent & stems else {}
    used = _words([trees[path] for path in files if path in trees], tests)
    told = not output or _NO_NAME.search(output[:400_000]) is not None
    lacking = set(_NO_ATTRIBUTE.findall(output[:400_000]))
    for path, names in needed.items():
        for item in _in_file(path, trees[path], names if told else set(), used, lacking):
            _join(found, item)
    return _ordered(list(found.values()), trees)


def _join(found: dict[tuple[str, str], Unwritten], item: Unwritten) -> None:
    key = (item.path, "" if item.kind == "module" else item.symbol)
    old = found.get(key)
    names = tuple(sorted({*old.names, *item.names})) if old and item.kind == "module" else item.names
    found[key] = Unwritten(item.path, names, item.kind)


def _test_files(sources: Mapping[str, str], tests: Sequence[str]) -> list[str]:
    named = [test.split("::")[0] for test in tests]
    dotted = [name.replace(".", "/") + ".py" for test in named for name in (test, *_parents(test)) if name]
    found = [path for path in dict.fromkeys((*named, *dotted)) if path in sources]
    return found or [path for path in sources if path.endswith(".py") and is_test_path(path)][:40]


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _imports(
    tree: ast.Module, path: str, is_module: Callable[[str], bool] = lambda _: False
) -> Iterator[tuple[str, set[str]]]:
    """Modules that a file imports, absolute, with the names that it takes from them, by whatever way. `is_module` tells
    whether what was taken from a module is one itself."""
    names: dict[str, set[str]] = {}
    members: dict[str, set[str]] = {}
    aliases: dict[str, str] = {}
    folder = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.setdefault(alias.name, set())
                aliases[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if module:
                taken = [alias for alias in node.names if alias.name != "*"]
                names.setdefault(module, set()).update(alias.name for alias in taken)
                for alias in taken:
                    members.setdefault(f"{module}.{alias.name}", set())
                    aliases[alias.asname or alias.name] = f"{module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            module = aliases[node.value.id]
            (names if module in names else members)[module].add(node.attr)
    yield from names.items()
    yield from ((module, used) for module, used in members.items() if module not in names and is_module(module))


def _places(module: str, path: str) -> list[str]:
    """Where a module may lie, without its ending."""
    plain = module.replace(".", "/")
    folder = path.rpartition("/")[0]
    return list(dict.fromkeys(filter(None, (plain, f"src/{plain}", f"{folder}/{plain}" if folder else ""))))


def _file_of(module: str, path: str, sources: Mapping[str, str]) -> str | None:
    # `import warnings` in a package is Python's, whatever file lies beside it.
    folder = path.rpartition("/")[0]
    packed = f"{folder}/__init__.py" in sources or module.split(".")[0] in sys.stdlib_module_names
    for place in _places(module, path)[: 2 if packed else 3]:
        for file in (f"{place}.py", f"{place}/__init__.py"):
            if file in sources:
                return file
    return None


def _new_file(module: str, path: str, sources: Mapping[str, str], named: bool) -> str:
    """Where a module that nothing has would go; "" when it is rather one that is installed, or not Python's."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top in KNOWN or not named:
        return ""
    if not all(part.isidentifier() for part in module.split(".")):
        return ""
    folders = {file.rpartition("/")[0] for file in sources}
    for place in _places(module, path):
        parent = place.rpartition("/")[0]
        if not parent or parent in folders:
            return f"{place}.py"
    return ""


def _words(trees: Sequence[ast.Module], tests: Sequence[str]) -> set[str]:
    """All names that the failing `tests` use, with what is outside of tests in their files; that all tests use where
    none of them can be found."""
    failing = {re.split(r"[\[(]", test, maxsplit=1)[0].rpartition("::")[2].rpartition(".")[2] for test in tests}
    known = any(isinstance(node, Function) and node.name in failing for tree in trees for node in ast.walk(tree))
    found: set[str] = set()
    queue: list[ast.AST] = [*trees]
    while queue:
        node = queue.pop()
        if known and isinstance(node, Function) and node.name.startswith("test") and node.name not in failing:
            continue
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.alias(name=name, asname=other) if not known or other:
                found.add(name)
            case _:
                pass
        queue += ast.iter_child_nodes(node)
    return found


def _in_file(
    path: str, tree: ast.Module, names: set[str], used: set[str], lacking: set[tuple[str, str]]
) -> Iterator[Unwritten]:
    """Stubs in the order of the file, then what it lacks altogether."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in used and is_stub(node):
            yield Unwritten(path, (node.name,), "stub")
        elif isinstance(node, ast.ClassDef) and node.name in used | names:
            yield from _in_class(path, node, used, lacking)
    if not any(_gives_all(item) for item in tree.body):
        for name in sorted(names - _bound(tree)):
            if not name.startswith("__"):
                yield Unwritten(path, (name,), "class" if name[:1].isupper() and not name.isupper() else "function")


def _gives_all(item: ast.stmt) -> bool:
    """The module may have names that cannot be seen in it."""
    return (isinstance(item, ast.ImportFrom) and item.names[0].name == "*") or (
        isinstance(item, ast.FunctionDef) and item.name == "__getattr__"
    )


def _in_class(path: str, node: ast.ClassDef, used: set[str], lacking: set[tuple[str, str]]) -> Iterator[Unwritten]:
    methods = [item for item in node.body if isinstance(item, Function)]
    idle = [item for item in methods if is_stub(item)]
    if not node.bases and len(idle) == len(methods) and (methods or all(_idle(item) for item in node.body)):
        yield Unwritten(path, (node.name,), "stub")
        return
    for item in idle:
        if item.name in used or item.name.startswith("__"):
            yield Unwritten(path, (node.name, item.name), "method")
    known = {item.name for item in methods}
    for owner, name in sorted(lacking):
        if owner == node.name and name in used and name not in known:
            yield Unwritten(path, (owner, name), "method")


def _bound(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add(asname or name.split(".")[0])
            case _:
                pass
    return found


def _ordered(items: list[Unwritten], trees: Mapping[str, ast.Module]) -> list[Unwritten]:
    """Files that others of these import first; whole modules before parts of them; else as they were found."""
    paths = list(dict.fromkeys(item.path for item in items))
    stems = {path: path.removesuffix(".py").rpartition("/")[2] for path in paths}
    uses = {
        path: {
            other
            for other in paths
            if other != path
            and path in trees
            and any(stems[other] == module.rpartition(".")[2] for module, _ in _imports(trees[path], path))
        }
        for path in paths
    }
    done: list[str] = []
    while len(done) < len(paths):
        ready = [path for path in paths if path not in done and uses[path] <= {*done}]
        done += ready or [path for path in paths if path not in done][:1]
    return sorted(items, key=lambda item: done.index(item.path))
