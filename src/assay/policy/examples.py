"""Rules that the user explains and proves: why it is there, and examples of what it speaks about and what not.

A rule that does not do what its author wrote beside it is worse than none, so that is found out when it loads.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from assay.core.errors import UsageError
from assay.policy.matching import host_matches
from assay.policy.paths import path_matches
from assay.policy.rules import Rule, parse_rules

List = Literal["allow", "ask", "deny"]
_ROOT = "/workspace"


def parse_listed(kind: List, text: str, because: str = "") -> Rule:
    """The rule of a list. Raises `UsageError` for what is none, or is too wide to allow by."""
    parsed = parse_rules(**{kind: [text]})
    rules: tuple[Rule, ...] = getattr(parsed, kind)
    if len(rules) != 1:
        raise UsageError(f"permission rule {text[:80]!r}: expected one rule, as Bash(npm test:*)")
    return replace(rules[0], because=because)


def contradiction(kind: List, rule: Rule, matches: tuple[str, ...], others: tuple[str, ...]) -> str:
    """How the examples contradict the rule, in one line; empty when they don't."""
    if (matches or others) and rule.subject == "tool":
        return f"{rule.text}: examples go with Bash, Read, Edit and WebFetch rules"
    for example in matches:
        if not speaks(kind, rule, example):
            return f"{rule.text} does not match its example {example[:80]!r}"
    for example in others:
        if speaks(kind, rule, example):
            return f"{rule.text} matches {example[:80]!r}, which its examples say it should not"
    return ""


def speaks(kind: List, rule: Rule, example: str) -> bool:
    """Whether a rule of that list speaks about a command line, a path relative to the workspace, or a host."""
    if rule.subject == "command":
        from assay.policy.commands import allows, might_be

        return bool(allows((rule,), example)) if kind == "allow" else might_be(rule, example)
    if not rule.pattern:
        return True
    if rule.subject == "network":
        return host_matches(rule.pattern, example)
    path = example if example.startswith("/") else f"{_ROOT}/{example}"
    return path_matches(rule.pattern, path, _ROOT, fold=kind != "allow")
