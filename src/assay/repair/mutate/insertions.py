"""Statements that are missing: guards, returns, updates, branches, made from what the function has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from assay.repair.mutate.change import Change
from assay.repair.mutate.conditions import conditions
from assay.repair.mutate.kinds import fit
from assay.repair.mutate.site import Site

MOST_CONDITIONS, FEW_CONDITIONS = 60, 16
"""Tried as a guard where guards usually stand, and elsewhere."""
MOST_UPDATES = 150
_FRESH = {"num": "0 1", "list": "[]", "dict": "{}", "set": "set()", "str": '""', "bool": "True False", "none": "None"}
_SIMPLE = ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.Continue | ast.Break | ast.Raise


def guards(site: Site) -> Iterator[Change]:
    """`if not x: return ...` and the like at the beginning of a function or a loop and in front of what may fail."""
    for statement in site.statements:
        block, number = site.block(statement)
        parent = site.parent(statement)
        loop = site.looped(statement)
        first = number == 0 and (parent is site.owner or isinstance(parent, ast.For | ast.While))
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Pass):
            continue
        often = (
            1.0
            if first
            else 0.5
            if isinstance(statement, ast.Return | ast.For | ast.While) and parent is site.owner
            else 0.2
        )
        actions = _actions(site, loop is not None)
        ranked = conditions(site, statement)[: MOST_CONDITIONS if first else FEW_CONDITIONS]
        for text, likely in ranked:
            for action, weight in actions:
                change = site.before(statement, [f"if {text}:", f"{site.unit}{action}"], often * weight * likely)
                if change is not None:
                    yield change
        # The last statement of a block goes on only under a condition.
        if isinstance(statement, ast.Expr | ast.AugAssign | ast.Assign | ast.Return) and site.source.alone(statement):
            for text, likely in ranked:
                yield _conditional(site, statement, text, 0.3 * likely)
        if number == len(block) - 1 and loop is None and parent is site.owner:
            break


def _conditional(site: Site, statement: ast.stmt, condition: str, weight: float) -> Change:
    start, end = site.source.span(statement)
    margin = site.source.indent(statement)
    text = site.source.text[start:end]
    lines = text.split("\n")
    body = ("\n" + site.unit).join(lines) if len(lines) > 1 else text
    return Change(
        ((start, end, f"if {condition}:{site.source.newline}{margin}{site.unit}{body}"),), statement.lineno, weight
    )


def _actions(site: Site, looped: bool) -> list[tuple[str, float]]:
    found: dict[str, float] = {}
    for item in site.statements:
        if isinstance(item, ast.Return | ast.Raise):
            text = site.source.of(item)
            if "\n" not in text:
                found[text] = 1.0
    if looped:
        found |= {"continue": 1.0, "break": 0.8}
    returns = any(isinstance(item, ast.Return) and item.value is not None for item in site.statements)
    for text in (
        "return False",
        "return True",
        "return None",
        "return 0",
        "return []",
        'return ""',
        "return 1",
        "return -1",
        "return {}",
    ):
        found.setdefault(text, 0.4 if returns else 0.1)
    if not returns:
        found.setdefault("return", 1.0)
    for name in site.params[:4]:
        if name not in {"self", "cls"}:
            found.setdefault(f"return {name}", 0.5)
    simple = [
        item
        for item in site.statements
        if isinstance(item, ast.Assign | ast.AugAssign) and item.lineno == item.end_lineno
    ]
    for item in simple[:8]:
        found.setdefault(site.source.of(item), 0.3)
        if (
            isinstance(item, ast.Assign)
            and isinstance(item.targets[0], ast.Name)
            and isinstance(item.value, ast.Constant)
        ):
            for value in ("0", "1", "True", "False"):
                found.setdefault(f"{item.targets[0].id} = {value}", 0.4)
    return list(found.items())


def updates(site: Site) -> Iterator[Change]:
    """`a = b`, `a += 1`, `xs.append(x)`, `d[k] = v`, `return a` behind or in front of each statement."""
    made = sorted(_updates(site), key=lambda entry: -entry[1])[:MOST_UPDATES]
    for statement in site.statements:
        _, number = site.block(statement)
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        loop = site.looped(statement)
        for text, weight, wants_loop in made:
            often = weight * (1.0 if (loop is not None) == wants_loop else 0.35)
            if not isinstance(statement, ast.Return | ast.Continue | ast.Break | ast.Raise):
                change = site.after(statement, [text], often)
            else:
                change = site.before(statement, [text], often)
            if change is not None:
                yield change
            if number == 0:
                change = site.before(statement, [text], 0.7 * often)
                if change is not None and not isinstance(statement, ast.Return | ast.Continue | ast.Break | ast.Raise):
                    yield change


def _updates(site: Site) -> Iterator[tuple[str, float, bool]]:
    """New simple statements, their weight, and whether they belong into loops."""
    own = [name for name in site.bound if name not in site.params]
    names = [name for name in site.bound if name not in {"self", "cls"}]
    for target in own:
        kinds = site.roles.name(target)
        for other in names:
            if other != target:
                yield f"{target} = {other}", 0.8 * fit(site.roles.name(other), kinds), True
                if kinds & {"num"} and site.roles.name(other) & {"num"}:
                    yield f"{target} += {other}", 0.3, True
        if kinds & {"num"}:
            yield f"{target} += 1", 1.0, True
            yield f"{target} -= 1", 0.8, True
        for kind, values in _FRESH.items():
            if not kinds or kind in kinds or kind == "none":
                for value in values.split():
                    yield f"{target} = {value}", 0.5 if kinds and kind != "none" else 0.3, True
    for target in names:
        kinds = site.roles.name(target)
        if kinds & {"list", "set"} or not kinds:
            verb = "add" if kinds & {"set"} else "append"
            for other in names:
                if other != target:
                    often = 1.0 if kinds and not site.roles.name(other) & {"list"} else 0.3
                    yield f"{target}.{verb}({other})", often, True
                    if site.roles.name(other) & {"list", "sized"}:
                        yield f"{target}.{verb}({other}[-1])", 0.5, False
                        yield f"{target}.extend({other})", 0.5, False
                        if "list" in site.roles.name(other):
                            yield f"{target}.{verb}({other}[0])", 0.2, False
        if kinds & {"list"}:
            for text, weight in (
                (f"{target}.sort()", 0.5),
                (f"{target}.reverse()", 0.4),
                (f"{target}.pop()", 0.4),
                (f"{target} = list({target})", 0.3),
            ):
                yield text, weight, False
        if kinds & {"str"}:
            yield f"{target} = {target}.strip()", 0.2, False
            yield f"{target} = {target}.lower()", 0.2, False
        if kinds & {"num"}:
            yield f"{target} = abs({target})", 0.2, False
        if kinds & {"dict"}:
            for key in names:
                for value in (*names, "True", "1"):
                    if len({key, value, target}) == 3 and not site.roles.name(key) & {"list", "dict", "set"}:
                        yield f"{target}[{key}] = {value}", 0.15, True
        yield f"return {target}", 0.5 if target in own else 0.2, False
    for text, weight in (("break", 0.6), ("continue", 0.4)):
        yield text, weight, True
    for text in ("return True", "return False", "return None", "return []", "return 0"):
        yield text, 0.2, False


def copies(site: Site) -> Iterator[Change]:
    """A simple statement once more somewhere else, also with one variable exchanged for another of its kind."""
    simple: dict[str, ast.stmt] = {}
    for item in site.statements:
        if isinstance(item, _SIMPLE) and item.lineno == item.end_lineno and not site.is_elif(item):
            simple.setdefault(site.source.of(item), item)
    pool: dict[str, float] = dict.fromkeys(simple, 1.0)
    for text, item in simple.items():
        for used in {node.id for node in ast.walk(item) if isinstance(node, ast.Name)}:
            for other in site.bound:
                if (
                    other != used
                    and other not in {"self", "cls"}
                    and fit(site.roles.name(other), site.roles.name(used)) >= 0.9
                ):
                    pool.setdefault(
                        re.sub(rf"\b{re.escape(used)}\b", other, text), 0.5 if other not in site.unread else 1.5
                    )
    pool = dict(sorted(pool.items(), key=lambda entry: -entry[1])[:80])
    for statement in site.statements:
        for text, weight in pool.items():
            last = isinstance(statement, ast.Return | ast.Continue | ast.Break | ast.Raise)
            change = site.before(statement, [text], weight) if last else site.after(statement, [text], weight)
            if change is not None and text != site.source.of(statement):
                yield change


def branches(site: Site) -> Iterator[Change]:
    """An `else` where there is none: what the other branch does, done to another variable, or a way out."""
    for statement in site.statements:
        if not isinstance(statement, ast.If) or statement.orelse or not site.source.alone(statement.body[-1]):
            continue
        margin = site.source.indent(statement)
        at = site.source.start_of((statement.end_lineno or 0) + 1)
        if at == len(site.source.text) and not site.source.text.endswith(("\n", "\r")):
            continue
        offered = dict(_other_branch(site, statement))
        newline = site.source.newline
        for text, weight in offered.items():
            yield Change(
                ((at, at, f"{margin}else:{newline}{margin}{site.unit}{text}{newline}"),), statement.lineno, weight
            )


def _other_branch(site: Site, statement: ast.If) -> Iterator[tuple[str, float]]:
    for text, weight in _actions(site, site.looped(statement) is not None):
        yield text, 0.5 * weight
    for text, weight, wants_loop in _updates(site):
        if wants_loop:
            yield text, 0.3 * weight
    for item in statement.body:
        if isinstance(item, _SIMPLE) and item.lineno == item.end_lineno:
            text = site.source.of(item)
            yield text, 0.2
            for used in {node.id for node in ast.walk(item) if isinstance(node, ast.Name)}:
                for other in site.bound:
                    if other != used and other not in {"self", "cls"}:
                        often = 1.0 if fit(site.roles.name(other), site.roles.name(used)) == 1.0 else 0.3
                        yield (
                            re.sub(rf"\b{re.escape(used)}\b", other, text),
                            often * (2.0 if other in site.unread else 1.0),
                        )
