"""What belongs to functions, classes and exceptions: defaults, `self`, `await`, `global`, handlers, `super`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.site import Site

_ERRORS = (
    "KeyError IndexError LookupError", "ValueError TypeError", "AttributeError TypeError", "KeyError AttributeError",
    "ZeroDivisionError ArithmeticError ValueError", "OSError FileNotFoundError IOError", "StopIteration IndexError",
    "ImportError ModuleNotFoundError", "UnicodeDecodeError ValueError", "ValueError IndexError", "ValueError KeyError",
    "NotImplementedError TypeError", "RuntimeError ValueError", "TimeoutError OSError",
)  # fmt: skip


def handlers(site: Site) -> Iterator[Change]:
    """Another exception, a wider one, or two of them; what is raised likewise."""
    for node in site.values:
        parent = site.parent(node)
        if not isinstance(node, ast.Name):
            continue
        caught = isinstance(parent, ast.ExceptHandler) and node is parent.type
        raised = isinstance(parent, ast.Raise) or (
            isinstance(parent, ast.Call) and isinstance(site.parent(parent), ast.Raise)
        )
        if not caught and not raised:
            continue
        others: dict[str, float] = {}
        for group in _ERRORS:
            words = group.split()
            if node.id in words:
                others |= dict.fromkeys((word for word in words if word != node.id), 1.0)
        if caught:
            for word in list(others):
                others[f"({node.id}, {word})"] = 1.0
            others["Exception"] = 0.8
        for word in ("ValueError", "TypeError", "KeyError", "IndexError", "AttributeError"):
            if word != node.id:
                others.setdefault(word, 0.4)
        for text, weight in others.items():
            yield site.put(node, text, weight)
    for statement in site.statements:
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                last = handler.body[-1]
                change = site.after(last, ["raise"], 0.5)
                if change is not None:
                    yield change


def defaults(site: Site) -> Iterator[Change]:
    """A list, dict or set that all calls share is made anew in each."""
    owner = site.owner
    if isinstance(owner, ast.Module) or not site.body or not site.source.alone(site.body[0]):
        return
    args = owner.args
    named = [*args.posonlyargs, *args.args]
    pairs = [
        *zip(named[len(named) - len(args.defaults) :], args.defaults, strict=True),
        *zip(args.kwonlyargs, args.kw_defaults, strict=True),
    ]
    for argument, default in pairs:
        if not isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call):
            continue
        fresh = site.source.of(default)
        change = site.before(site.body[0], [f"if {argument.arg} is None:", f"{site.unit}{argument.arg} = {fresh}"])
        if change is not None and "\n" not in fresh:
            yield Change(((*site.source.span(default), "None"), *change.edits), default.lineno, 1.0)


def coroutines(site: Site) -> Iterator[Change]:
    """`await` forgotten or too much."""
    if not isinstance(site.owner, ast.AsyncFunctionDef):
        return
    for node in site.values:
        parent = site.parent(node)
        if isinstance(node, ast.Call) and not isinstance(parent, ast.Await):
            yield site.put(node, f"await {site.source.of(node)}", 1.0)
        elif isinstance(node, ast.Await):
            yield site.put(node, site.source.of(node.value), 0.4)


def scopes(site: Site) -> Iterator[Change]:
    """`global` and `nonlocal` forgotten, `self.` forgotten in front of a method."""
    for node in site.values:
        if isinstance(node, ast.Name) and node.id in site.clues.methods and "self" in site.params:
            parent = site.parent(node)
            if isinstance(parent, ast.Call) and node is parent.func:
                yield site.put(node, f"self.{node.id}", 1.0)
    for item in site.statements:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.body:
            stored = {
                node.id for node in ast.walk(item) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
            for name in sorted(stored & set(site.bound)):
                change = site.before(item.body[0], [f"nonlocal {name}"], 1.0)
                if change is not None:
                    yield change
    if not isinstance(site.owner, ast.Module) and site.body:
        outside = {
            target.id
            for item in site.source.tree.body
            if isinstance(item, ast.Assign)
            for target in item.targets
            if isinstance(target, ast.Name)
        }
        for name in sorted(outside & (set(site.bound) - set(site.params))):
            change = site.before(site.body[0], [f"global {name}"], 1.0)
            if change is not None:
                yield change


def members(site: Site) -> Iterator[Change]:
    """In a method: a parameter that nothing reads is kept, the base class is asked."""
    owner = site.owner
    if isinstance(owner, ast.Module) or not site.params or site.params[0] != "self" or not site.body:
        return
    last = site.body[-1]
    if owner.name == "__init__":
        for name in site.params[1:]:
            change = site.after(last, [f"self.{name} = {name}"], 2.0 if name in site.unread else 0.5)
            if change is not None:
                yield change
    rest = ", ".join(site.params[1:])
    change = site.before(site.body[0], [f"super().{owner.name}({rest})"], 0.5)
    if change is not None:
        yield change
    change = site.after(last, ["return self"], 0.5)
    if change is not None:
        yield change
    stored: dict[str, str] = {}
    for target in site.targets:
        if isinstance(target, ast.Attribute):
            stored[target.attr] = site.source.of(target)
    for text in stored.values():
        for value in ("None", "0", "[]", "True", "False"):
            change = site.after(last, [f"{text} = {value}"], 0.2)
            if change is not None:
                yield change
