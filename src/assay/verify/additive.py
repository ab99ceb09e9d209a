"""Whether a change to a test file only adds, and which part of a mixed file configures the checks."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from assay.core.messages import Json

TOOL_TABLES = ("pytest", "coverage", "tox", "nox", "ruff", "mypy", "pyright", "hatch", "poe", "pdm")
SETUP_SECTIONS = re.compile(r"tool:pytest|pytest|coverage.*|tox.*|testenv.*|flake8|mypy.*|aliases")
SCRIPTS = re.compile(r"(pre|post)?(test|check|lint|type|verify|ci|build|coverage).*")
PACKAGE_KEYS = ("jest", "vitest", "mocha", "ava", "nyc", "c8", "tap", "eslintConfig", "babel")


def adds_only(path: str, before: bytes, after: bytes) -> bool:
    """True when everything that `before` says is still said by `after`, and nothing added takes its place.

    Python is compared by syntax: each old statement stands unchanged and in order, and no new one binds an old name,
    marks the module or runs at import other than imports and definitions. Other languages are compared by line.
    """
    if path.endswith(".py"):
        try:
            return _adds_only_python(ast.parse(before), ast.parse(after))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    old, new = before.splitlines(), iter(after.splitlines())
    return b"\0" not in before and all(line in new for line in old)


def _adds_only_python(before: ast.Module | ast.ClassDef, after: ast.Module | ast.ClassDef) -> bool:
    taken = bound(before)
    old = list(before.body)
    for node in after.body:
        if old and _same(old[0], node):
            old.pop(0)
        elif not _harmless(node, taken):
            return False
    return not old


def _same(old: ast.stmt, new: ast.stmt) -> bool:
    """Equal, or a class that was only added to."""
    if isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef) and old.name == new.name:
        heads = [ast.dump(ast.ClassDef(c.name, c.bases, c.keywords, [], c.decorator_list)) for c in (old, new)]
        return heads[0] == heads[1] and _adds_only_python(old, new)
    if isinstance(old, ast.ImportFrom) and isinstance(new, ast.ImportFrom) and old.module == new.module:
        names = [{(alias.name, alias.asname) for alias in node.names} for node in (old, new)]
        return old.level == new.level and names[0] <= names[1]
    return ast.dump(old) == ast.dump(new)


def _harmless(node: ast.stmt, taken: set[str]) -> bool:
    """A new definition or constant that leaves what exists alone."""
    names = bound(ast.Module([node], []))
    if "*" in names:
        return False
    if names & taken or any(
        name.startswith(("pytest", "__", "setUp", "tearDown", "setup", "teardown")) for name in names
    ):
        return isinstance(node, (ast.Import, ast.ImportFrom)) and not names & taken
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return "autouse" not in "".join(ast.dump(decorator) for decorator in node.decorator_list)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(isinstance(target, ast.Name) for target in targets)
    return isinstance(node, (ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)) or _docstring(node)


def _docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def bound(scope: ast.Module | ast.ClassDef) -> set[str]:
    """Names that the statements of a scope bind directly."""
    names: set[str] = set()
    for node in scope.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
        else:
            names.update(
                part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            )
    return names


def settings_part(path: str, data: bytes | None) -> Json:
    """The part of pyproject.toml, setup.cfg or package.json that decides what the checks do; None when there is none.
    A file that can't be read as what it claims to be counts whole."""
    if data is None:
        return None
    try:
        text = data.decode()
        if path.endswith("pyproject.toml"):
            return _pyproject(text)
        return _setup_cfg(text) if path.endswith("setup.cfg") else _package_json(text)
    except (ValueError, RecursionError):
        return data


def _pyproject(text: str) -> Json:
    import tomllib

    tools = table(tomllib.loads(text).get("tool"))
    return {name: tools[name] for name in TOOL_TABLES if name in tools} or None


def _setup_cfg(text: str) -> Json:
    import configparser

    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from error
    return {name: dict(parser.items(name)) for name in parser.sections() if SETUP_SECTIONS.fullmatch(name)} or None


def _package_json(text: str) -> Json:
    import json

    data = table(json.loads(text))
    scripts = table(data.get("scripts"))
    found: dict[str, Json] = {key: data[key] for key in PACKAGE_KEYS if key in data}
    chosen = {name: line for name, line in scripts.items() if SCRIPTS.fullmatch(name)}
    return {**found, **({"scripts": chosen} if chosen else {})} or None


def table(value: object) -> Mapping[str, Json]:
    """`value` if it is a table with text keys, else an empty one."""
    from msgspec import ValidationError, convert

    try:
        return convert(value, dict[str, object])
    except ValidationError:
        return {}
