"""Names, attributes and modules that don't exist, mended from what the failing check printed."""

from __future__ import annotations

import ast
import builtins
import difflib
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from assay.repair.locate import is_test_path
from assay.repair.patch import Edit, Patch
from assay.repair.source import parsed
from assay.repair.traceback import frames, project_path

ALIKE = 0.6
MOST_NAMES = 4
MOST_FILES = 5

_NAME = re.compile(r"NameError: name '(\w+)' is not defined|UnboundLocalError: .*?variable '(\w+)'")
_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '([\w.]+)'")
_FROM = re.compile(r"ImportError: cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'")
_ATTRIBUTE = re.compile(r"AttributeError: (?:type object |module )?'([\w.]+)' (?:object )?has no attribute '(\w+)'")
_SELF = re.compile(
    r"TypeError: (?:[\w.<>]+\.)?(\w+)\(\) takes (?:(\d+) positional arguments?|no arguments).* (?:were|was) given"
)


def missing(sources: Mapping[str, str], output: str) -> Iterator[Patch]:
    """Patches of `sources` for the errors of Python in `output` that tell of something missing, likeliest first; the
    same one perhaps twice. Files that are no tests only."""
    output = output[-200_000:]
    product = [path for path in sources if path.endswith(".py") and not is_test_path(path)]
    places = _places(output, product)
    for found in _NAME.finditer(output):
        name = found[1] or found[2]
        for path in _using(sources, places, name):
            yield from _missing(sources, path, name)
    for found in _MODULE.finditer(output):
        for path in _using(sources, product, found[1].rsplit(".", 1)[-1]):
            yield from _module(sources, path, found[1])
    for found in _FROM.finditer(output):
        for path in _using(sources, product, found[1]):
            yield from _member(sources, path, found[1], found[2])
    for found in _ATTRIBUTE.finditer(output):
        for path in _using(sources, places, found[2]):
            yield from _attribute(sources, path, found[1], found[2])
    for found in _SELF.finditer(output):
        for path in product:
            yield from _self(path, sources[path], found[1])


def _places(output: str, product: list[str]) -> list[str]:
    """Files in the order in which frames of the output end in them, then the others."""
    named = [project_path(frame.path, product) for frame in reversed(frames(output))]
    return list(dict.fromkeys([*(path for path in named if path), *product]))


def _using(sources: Mapping[str, str], paths: list[str], name: str) -> list[str]:
    return [path for path in paths if re.search(rf"\b{re.escape(name)}\b", sources[path])][:MOST_FILES]


def _renamed(path: str, text: str, name: str, new: str, label: str, before: str = "") -> Iterator[Patch]:
    """Every use of `name` as `new`; then each alone."""
    spots = [*re.finditer(rf"{before}(?<!\w)({re.escape(name)})(?!\w)", text)][:20]
    if not spots:
        return
    edits = tuple(Edit(path, match.start(1), match.end(1), new) for match in spots)
    first = text.count("\n", 0, spots[0].start()) + 1
    yield Patch(edits, label, first)
    if len(edits) > 1:
        for edit in edits[:6]:
            yield Patch((edit,), label, text.count("\n", 0, edit.start) + 1)


def _missing(sources: Mapping[str, str], path: str, name: str) -> Iterator[Patch]:
    text = sources[path]
    tree = parsed(text)
    if tree is None:
        return
    for statement in _imports_of(sources, name):
        yield _import(path, text, tree, statement)
    # As an attribute of the object, where a method forgot to say so.
    if re.search(rf"\bself\.{name}\b|def {name}\(self", text):
        yield from _renamed(path, text, name, f"self.{name}", "self", r"(?<![\w.])(?<!def )")
    known = _scope(tree) - {name}
    for other in difflib.get_close_matches(name, sorted(known), MOST_NAMES, ALIKE):
        yield from _renamed(path, text, name, other, "spelling")


def _scope(tree: ast.Module) -> set[str]:
    found = set(dir(builtins))
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case (
                ast.arg(arg=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                found.add(name)
            case ast.alias(name=name, asname=alias):
                found.add(alias or name.split(".")[0])
            case _:
                pass
    return found


def _imports_of(sources: Mapping[str, str], name: str) -> Iterator[str]:
    """Import statements that define `name`: one that another file of the project has, a module of the standard library,
    a member of one of its usual modules, a definition of the project."""
    told: dict[str, int] = {}
    for text in sources.values():
        tree = parsed(text) if name in text else None
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        only = (
                            ast.Import([alias])
                            if isinstance(node, ast.Import)
                            else ast.ImportFrom(node.module, [alias], 0)
                        )
                        said = ast.unparse(only)
                        told[said] = told.get(said, 0) + 1
    yield from sorted(told, key=lambda said: -told[said])
    yield from usual(name)
    for path, text in sources.items():
        if (
            path.endswith(".py")
            and not is_test_path(path)
            and re.search(rf"^(?:def|class|async def) {name}\b|^{name}\s*=", text, re.M)
        ):
            yield f"from {_dotted(path)} import {name}"


def usual(name: str) -> list[str]:
    """Import statements by which a name mostly comes from the standard library, likeliest first."""
    own = [f"import {name}"] if name in sys.stdlib_module_names and not name.startswith("_") else []
    return own + [f"from {module} import {name}" for module, names in USUAL.items() if name in names]


USUAL: Mapping[str, frozenset[str]] = {
    "typing": frozenset({
        "Any", "Callable", "Dict", "Generator", "Generic", "Iterable", "Iterator", "List", "Mapping", "NamedTuple",
        "Optional", "Protocol", "Sequence", "Set", "Tuple", "Type", "TypeVar", "Union",
    }),
    "collections": frozenset({"ChainMap", "Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"}),
    "functools": frozenset({"cache", "cached_property", "lru_cache", "partial", "reduce", "total_ordering", "wraps"}),
    "itertools": frozenset({
        "accumulate", "chain", "combinations", "count", "cycle", "groupby", "islice", "permutations", "product",
        "repeat", "starmap", "takewhile", "zip_longest",
    }),
    "math": frozenset({"ceil", "floor", "gcd", "inf", "isclose", "isnan", "log", "pi", "prod", "sqrt"}),
    "dataclasses": frozenset({"asdict", "dataclass", "field", "replace"}),
    "datetime": frozenset({"date", "datetime", "timedelta", "timezone"}),
    "pathlib": frozenset({"Path", "PurePath", "PurePosixPath"}),
    "enum": frozenset({"Enum", "IntEnum", "Flag", "auto"}),
    "abc": frozenset({"ABC", "abstractmethod"}),
    "contextlib": frozenset({"contextmanager", "suppress", "closing", "nullcontext", "redirect_stdout"}),
    "copy": frozenset({"deepcopy"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "string": frozenset({"ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "punctuation"}),
    "heapq": frozenset({"heapify", "heappop", "heappush", "nlargest", "nsmallest"}),
    "bisect": frozenset({"bisect_left", "bisect_right", "insort"}),
    "operator": frozenset({"attrgetter", "itemgetter"}),
    "io": frozenset({"BytesIO", "StringIO"}),
    "time": frozenset({"perf_counter", "sleep"}),
    "statistics": frozenset({"mean", "median", "stdev"}),
}  # fmt: skip
"""Members of the standard library that are imported by name, by their modules."""


def _dotted(path: str) -> str:
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _import(path: str, text: str, tree: ast.Module, statement: str) -> Patch:
    """`statement` behind the last import at the top, or behind the docstring and imports of the future."""
    newline = "\r\n" if "\r\n" in text else "\n"
    last = 0
    for node in tree.body:
        doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not (doc or isinstance(node, ast.Import | ast.ImportFrom)):
            break
        last = node.end_lineno or last
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    at = starts[last] if last < len(starts) else len(text)
    mark = int(text.startswith("\ufeff") and not at)
    return Patch((Edit(path, at + mark, at + mark, statement + newline),), "import", last + 1)


def _module(sources: Mapping[str, str], path: str, name: str) -> Iterator[Patch]:
    """An import of a module that isn't there, as one that is."""
    own = {_dotted(each) for each in sources if each.endswith(".py")}
    near = [*difflib.get_close_matches(name, sorted(own), 3, ALIKE)]
    last = name.rsplit(".", 1)[-1]
    near += [each for each in sorted(own) if each != name and each.rsplit(".", 1)[-1] == last]
    near += difflib.get_close_matches(name, sorted(sys.stdlib_module_names), 2, ALIKE)
    for other in dict.fromkeys(near):
        yield from _renamed(path, sources[path], name, other, "import", r"(?:from|import)\s+")
        yield from _renamed(path, sources[path], name, other, "import")
    package = "/".join(path.split("/")[:-1])
    if package and f"{package}/{name.replace('.', '/')}.py" in sources:
        yield from _renamed(path, sources[path], name, f".{name}", "import", r"from\s+")


def _member(sources: Mapping[str, str], path: str, name: str, module: str) -> Iterator[Patch]:
    """`from module import name` where the module has no such name."""
    text = sources[path]
    for each, other in sources.items():
        if each.endswith(".py") and _dotted(each) == module and (tree := parsed(other)) is not None:
            known = _scope(tree) - set(dir(builtins))
            for near in difflib.get_close_matches(name, sorted(known), MOST_NAMES, ALIKE):
                yield from _renamed(path, text, name, near, "spelling")
    for statement in _imports_of(sources, name):
        line = re.search(rf"^from {re.escape(module)} import {name}[ \t]*$", text, re.M)
        if line and line[0] != statement:
            yield Patch(
                (Edit(path, line.start(), line.end(), statement),), "import", text.count("\n", 0, line.start()) + 1
            )
    if module in sys.stdlib_module_names:
        known = _members(module)
        for near in difflib.get_close_matches(name, sorted(known), MOST_NAMES, ALIKE):
            yield from _renamed(path, text, name, near, "spelling")


def _attribute(sources: Mapping[str, str], path: str, owner: str, name: str) -> Iterator[Patch]:
    text = sources[path]
    kinds = {
        "str": str,
        "list": list,
        "dict": dict,
        "set": set,
        "tuple": tuple,
        "int": int,
        "float": float,
        "bytes": bytes,
    }
    known = set(dir(kinds[owner])) if owner in kinds else _members(owner) or _attributes(sources, owner)
    for near in difflib.get_close_matches(name, sorted(known - {name}), MOST_NAMES, ALIKE):
        yield from _renamed(path, text, name, near, "attribute", r"\.\s*")
    usual = {"push": "append", "add": "append", "append": "add", "length": "__len__", "contains": "__contains__",
             "has_key": "__contains__", "iteritems": "items", "iterkeys": "keys", "itervalues": "values",
             "toLowerCase": "lower", "toUpperCase": "upper", "trim": "strip", "remove": "discard"}  # fmt: skip
    if usual.get(name) in known:
        yield from _renamed(path, text, name, usual[name], "attribute", r"\.\s*")


def _members(module: str) -> set[str]:
    """Public names of a module of the standard library that does nothing when it is imported."""
    if module not in sys.stdlib_module_names or module in _ACTIVE or not _is_standard(module):
        return set()
    try:
        return {name for name in dir(importlib.import_module(module)) if not name.startswith("_")}
    except ImportError:
        return set()


_ACTIVE = frozenset({"antigravity", "this", "idlelib", "turtle", "tkinter", "test", "readline", "rlcompleter", "pty"})
"""Modules that open windows, print, or touch the terminal."""


def _is_standard(module: str) -> bool:
    """The interpreter's own, and no namesake: a project may lie where we would import from, and it names the module."""
    if module in sys.builtin_module_names:
        return True
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return False
    homes = {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")}
    origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
    if spec is not None and spec.origin == "frozen":
        return True
    return origin is not None and any(str(folder) in homes for folder in list(origin.parents)[:2])


def _attributes(sources: Mapping[str, str], owner: str) -> set[str]:
    """What objects of the project's class, or its module, have."""
    found: set[str] = set()
    for path, text in sources.items():
        if not path.endswith(".py") or (owner.rsplit(".", 1)[-1] not in text and _dotted(path) != owner):
            continue
        tree = parsed(text)
        if tree is None:
            continue
        if _dotted(path) == owner:
            found |= _scope(tree) - set(dir(builtins))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == owner.rsplit(".", 1)[-1]:
                found |= {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
                found |= {
                    item.attr
                    for item in ast.walk(node)
                    if isinstance(item, ast.Attribute)
                    and isinstance(item.ctx, ast.Store)
                    and isinstance(item.value, ast.Name)
                    and item.value.id == "self"
                }
                found |= {
                    item.target.id
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                }
    return found


def _self(path: str, text: str, name: str) -> Iterator[Patch]:
    """A method without its first parameter."""
    tree = parsed(text)
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.ClassDef):
            continue
        for item in node.body:
            if (
                isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
                and item.name == name
                and not item.decorator_list
            ):
                first = item.args.args[0].arg if item.args.args else ""
                if first in ("self", "cls"):
                    continue
                found = re.compile(rf"def\s+{name}\s*\(\s*").search(text, _at(text, item.lineno))
                if found:
                    yield Patch(
                        (Edit(path, found.end(), found.end(), "self, " if first else "self"),), "self", item.lineno
                    )


def _at(text: str, line: int) -> int:
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    return starts[min(line - 1, len(starts) - 1)]
