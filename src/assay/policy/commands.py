"""Rules on command lines. What the parser of shell lines can't split with certainty is never allowed by a prefix, and
is denied when any part of it might be what a rule denies. The sandbox is the boundary; rules choose when to ask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assay.policy.rules import Rule, wildcard

if TYPE_CHECKING:
    from assay.policy.shell.syntax import Node, Redirect, Word

_SEPARATORS = re.compile(r"[;&|\n(){}`<>]")
_QUOTING = re.compile(r"\\\n|[\\'\"]")
_LONGEST = 20_000
"""Characters; a longer line is not judged but taken for the worst."""


def allows(rules: tuple[Rule, ...], command: str) -> str:
    """The rules that together allow the whole of `command`, or empty. Compound lines need one for each part."""
    line = command.strip()
    for rule in rules:
        if not rule.pattern or line == rule.pattern:
            return rule.text
    parts = split_command(line) if rules else None
    if not parts:
        return ""
    spoken = [next((rule.text for rule in rules if _matches(rule.pattern, part)), "") for part in parts]
    return ", ".join(dict.fromkeys(spoken)) if all(spoken) else ""


def might_be(rule: Rule, command: str) -> bool:
    """True when some part of `command` might be what `rule` names, however it is quoted, wrapped or nested."""
    if not rule.pattern or len(command) > _LONGEST or _mentions(rule, command):
        return True
    from assay.policy.shell_effects import effects_of

    return any(effect.kind == "execute" and _mentions(rule, effect.target) for effect in effects_of(command))


def is_opaque(command: str) -> bool:
    """True when what would run is decided only while it runs: `$CMD`, `eval "$x"`, `source file`."""
    from assay.policy.shell_effects import effects_of

    return any(effect.kind == "unknown" for effect in effects_of(command))


def split_command(line: str) -> list[str] | None:
    """The simple commands of a line, or None when it is more than a list of those: when it redirects to a file, sets
    variables, nests commands, or is not understood."""
    from assay.policy.shell.parser import parse
    from assay.policy.shell.syntax import NotUnderstood, Pipe

    try:
        script, _ = parse(line)
    except NotUnderstood:
        return None
    nodes = [stage for node in script for stage in (node.stages if isinstance(node, Pipe) else (node,))]
    parts = [_plain(node) for node in nodes]
    return [part for part in parts if part] if all(parts) else None


def _plain(node: Node) -> str:
    """A simple command as one line, or empty for anything that does more than to run one program."""
    from assay.policy.shell.syntax import Simple, Text

    if not isinstance(node, Simple) or node.assignments or not node.words:
        return ""
    named = all(isinstance(part, Text) for part in node.words[0].parts)
    if not (named and all(map(_is_plain, node.words)) and all(map(_is_quiet, node.redirects))):
        return ""
    return " ".join(word.source for word in node.words)


def _is_plain(word: Word) -> bool:
    """True for text and `$name`: nothing else is expanded in it."""
    from assay.policy.shell.syntax import Text, Variable

    if "${" in word.source or "$'" in word.source or '$"' in word.source:
        return False
    return all(
        (isinstance(part, Text) and (part.quoted or not set(part.text) & set("{}"))) or isinstance(part, Variable)
        for part in word.parts
    )


def _is_quiet(redirect: Redirect) -> bool:
    """True for `2>&1` and `>/dev/null`."""
    if redirect.operator == ">&":
        return redirect.descriptor == "2" and redirect.target.source == "1"
    return redirect.operator == ">" and redirect.target.source == "/dev/null" and redirect.descriptor in ("", "1", "2")


def _mentions(rule: Rule, command: str) -> bool:
    bare = _QUOTING.sub("", command.strip())
    prefix = _prefix(rule.pattern)
    if prefix is not None and "*" not in prefix:
        words = r"\s+".join(re.escape(word) for word in _QUOTING.sub("", prefix).split())
        return re.search(rf"(?:^|[\s/;&|(){{}}`<>=]){words}(?:$|[\s;&|(){{}}`<>])", bare) is not None
    wanted = " ".join(_QUOTING.sub("", rule.pattern).split())
    pattern = wanted if prefix is None else f"{' '.join(prefix.split())}*"
    return any(_ends_as(pattern, " ".join(part.split())) for part in (*_SEPARATORS.split(bare), bare))


def _prefix(pattern: str) -> str | None:
    """`npm test` for `npm test:*` and `npm test *`; None for a pattern that is no prefix."""
    if pattern.endswith(":*"):
        return pattern[:-2].rstrip()
    return pattern[:-2].rstrip() if pattern.endswith(" *") else None


def _matches(pattern: str, part: str) -> bool:
    prefix = _prefix(pattern)
    if prefix is None:
        return wildcard(pattern, part)
    return bool(prefix) and (wildcard(prefix, part) or wildcard(f"{prefix} *", part))


def _ends_as(pattern: str, part: str) -> bool:
    """`pattern` matches `part`, or what is left of it after wrappers, assignments or a directory in front."""
    starts = [0, *(match.end() for match in re.finditer(r"[ /=]", part))]
    return any(wildcard(pattern, part[start:]) for start in starts)
