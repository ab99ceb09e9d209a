"""Rules on command lines. This is no parser of shell: what can't be split with certainty is never allowed by a prefix,
and is denied when any part of it might be what a rule denies. The sandbox is the boundary; rules choose when to ask."""

from __future__ import annotations

import re

from assay.policy.rules import Rule, wildcard

_REDIRECTION = re.compile(r"(?<=\s)(?:2>&1|[12]?>\s?/dev/null)(?=\s|$)")
_BREAKS = re.compile(r"\|\||&&|\|&|[;&|\n]")
_UNSURE = re.compile(r"[<>(){}`#]|\$\(|\$\{|\$'|\$\"|\\\n")
_SEPARATORS = re.compile(r"[;&|\n(){}`<>]")
_QUOTING = re.compile(r"\\\n|[\\'\"]")
_DYNAMIC = re.compile(r"(?:^|[;&|\n(){}`]|\bexec|\bcommand|\bsudo|\bxargs|\btime|\benv)\s*(?:\w+=\S*\s+)*\$")
_INDIRECT = re.compile(r"\beval\s|(?:^|[;&|\n(){}`])\s*(?:source|\.)\s")
_LONGEST = 20_000
"""Characters; a longer line is not judged but taken for the worst."""


def allows(rules: tuple[Rule, ...], command: str) -> str:
    """The rules that together allow the whole of `command`, or empty. Compound lines need one for each part."""
    line = command.strip()
    for rule in rules:
        if not rule.pattern or line == rule.pattern:
            return rule.text
    parts = split_command(line)
    if not parts:
        return ""
    spoken = [next((rule.text for rule in rules if _matches(rule.pattern, part)), "") for part in parts]
    return ", ".join(dict.fromkeys(spoken)) if all(spoken) else ""


def might_be(rule: Rule, command: str) -> bool:
    """True when some part of `command` might be what `rule` names, however it is quoted, wrapped or nested."""
    if not rule.pattern or len(command) > _LONGEST:
        return True
    bare = _QUOTING.sub("", command.strip())
    prefix = _prefix(rule.pattern)
    if prefix is not None and "*" not in prefix:
        words = r"\s+".join(re.escape(word) for word in _QUOTING.sub("", prefix).split())
        return re.search(rf"(?:^|[\s/;&|(){{}}`<>=]){words}(?:$|[\s;&|(){{}}`<>])", bare) is not None
    wanted = " ".join(_QUOTING.sub("", rule.pattern).split())
    pattern = wanted if prefix is None else f"{' '.join(prefix.split())}*"
    return any(_ends_as(pattern, " ".join(part.split())) for part in (*_SEPARATORS.split(bare), bare))


def is_opaque(command: str) -> bool:
    """True when what would run is decided only while it runs: `$CMD`, `eval`, `source`."""
    return len(command) > _LONGEST or _DYNAMIC.search(command) is not None or _INDIRECT.search(command) is not None


def split_command(line: str) -> list[str] | None:
    """The simple commands of a line, or None when that can't be told with certainty."""
    line = _REDIRECTION.sub("", line)
    parts: list[str] = []
    start = at = 0
    while at < len(line):
        character = line[at]
        if character == "'":
            at = line.find("'", at + 1) + 1
            if not at:
                return None
        elif character == '"':
            closed = re.compile(r'"(?:[^"\\`$]|\\[^\n]|\$(?![({]))*"').match(line, at)
            if not closed:
                return None
            at = closed.end()
        elif character == "\\" and line[at + 1 : at + 2] not in ("", "\n"):
            at += 2
        elif _UNSURE.match(line, at) or character == "\\":
            return None
        elif broken := _BREAKS.match(line, at):
            parts.append(line[start:at].strip())
            start = at = broken.end()
        else:
            at += 1
    parts.append(line[start:].strip())
    return [part for part in parts if part]


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
