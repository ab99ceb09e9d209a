"""Permission rules as users of the `claude` command write them: `Bash(npm test:*)`, `Edit(src/**)`, `Read`.

| rule | speaks about |
| --- | --- |
| `Tool`, `Tool(*)` | every call of the tool |
| `Bash(text)` | that very command line; `Bash(text:*)`, `Bash(text *)` command lines that begin with those words; `*` elsewhere stands for anything |
| `Read(glob)`, `Edit(glob)` | files, in gitignore's manner: `//absolute`, `~/of-home`, `/of-the-root`, `name-at-any-depth`, `dir/**`. `Edit` (also `Write`) covers every way to write a file |
| `WebFetch(domain:host)` | a host; `*.host` its subdomains |
| `mcp__server`, `mcp__server__*`, `mcp__server__tool` | the tools of an MCP server, or one |
| `Agent(type)`, `Skill(name)` | sub-agents of that type, that skill; `Skill(name *)` with any arguments |
| `Tool(argument:value)` | deny and ask only: calls of any other tool whose argument is that, `*` standing for anything |

Each is said of an effect, so that it holds whichever tool has that effect.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from assay.core.errors import UsageError
from assay.core.policy import EffectKind

Subject = Literal["command", "read", "write", "network", "tool"]

_SUBJECTS: dict[str, Subject] = {
    "bash": "command",
    "shell": "command",
    "read": "read",
    "edit": "write",
    "multiedit": "write",
    "notebookedit": "write",
    "write": "write",
    "webfetch": "network",
}
_MEANT = {"search": ("grep", "glob"), "ls": ("read",), "task": ("agent",)}
"""Names that tools had or go by elsewhere, and the tools that a rule with such a name is about."""
_RULE = re.compile(r"([A-Za-z_*][\w*.-]*)(?:\((.*)\))?", re.DOTALL)
_KINDS: dict[Subject, tuple[EffectKind, ...]] = {
    "command": ("execute",),
    "read": ("read",),
    "write": ("write", "delete", "destroy"),
    "network": ("network",),
    "tool": (),
}
_OF_ONE_SERVER = re.compile(r"mcp__[^*]+?__.*")
_LIMIT = 2_000
_ARGUMENT = re.compile(r"\s*[A-Za-z_]\w*\s*:")


class Rule(Struct, frozen=True):
    text: str
    """As the user wrote it."""
    subject: Subject
    tool: str
    """For subject `tool`: the name, `*` standing for anything."""
    pattern: str
    """What is within the parentheses; empty for all."""
    because: str = ""
    """Why it is there, in the user's words."""

    @property
    def names(self) -> bool:
        """The pattern is the name of a sub-agent's type or of a skill."""
        return self.tool.lower() in ("agent", "task", "skill")

    @property
    def argument(self) -> tuple[str, str] | None:
        """The argument that the rule is about, and its value; None when it is about none."""
        if self.subject != "tool" or self.names or not _ARGUMENT.match(self.pattern):
            return None
        name, _, value = self.pattern.partition(":")
        return name.strip(), value.strip()

    @property
    def told(self) -> str:
        return f"{self.text} ({self.because})" if self.because else self.text

    def covers(self, tool: str, kind: EffectKind) -> bool:
        """True when the rule has anything to say about an effect of this kind by this tool."""
        if self.subject != "tool":
            return kind in _KINDS[self.subject]
        name = tool.lower()
        if self.tool.lower().startswith("mcp__") and name.startswith(f"{self.tool.lower()}__"):
            return True
        return name in _MEANT.get(self.tool.lower(), ()) or wildcard(self.tool.lower(), name)


class Rules(Struct, frozen=True):
    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()


def parse_rules(allow: str | list[str] = "", ask: str | list[str] = "", deny: str | list[str] = "") -> Rules:
    """Rules from flags or settings: lists, or text with commas or spaces between rules. Raises `UsageError`."""
    allowed = tuple(_allowing(rule) for rule in map(parse_rule, split_rules(allow)))
    return Rules(allowed, tuple(map(parse_rule, split_rules(ask))), tuple(map(parse_rule, split_rules(deny))))


def split_rules(rules: str | list[str]) -> list[str]:
    """The single rules of `--allowedTools "Bash(git log:*),Edit Read"`: what is in parentheses stays together."""
    found: list[str] = []
    for text in [rules] if isinstance(rules, str) else rules:
        depth = start = 0
        for at, character in enumerate(text + ","):
            depth += (character == "(") - (character == ")" and depth > 0)
            if at == len(text) or (not depth and character in ", \n\t"):
                found.append(text[start:at].strip())
                start = at + 1
    return [rule for rule in found if rule]


def parse_rule(text: str) -> Rule:
    """Raises `UsageError` for what is not a rule."""
    match = _RULE.fullmatch(text.strip())
    if match is None or len(text) > _LIMIT or "\0" in text:
        raise UsageError(f"permission rule {text[:80]!r}: expected Tool or Tool(pattern), as Bash(npm test:*)")
    name: str = match.group(1)
    pattern: str = (match.group(2) or "").strip()
    subject = _SUBJECTS.get(name.lower(), "tool")
    if pattern in ("*", ":*") or (pattern == "**" and subject in ("read", "write")):
        pattern = ""
    if pattern.startswith("!") and subject in ("read", "write"):
        raise UsageError(f"permission rule {text[:80]!r}: patterns can't be negated; write a rule for the other list")
    if subject == "network" and pattern and not pattern.startswith("domain:"):
        raise UsageError(f"permission rule {text[:80]!r}: expected WebFetch(domain:HOST)")
    return Rule(text.strip(), subject, name if subject == "tool" else "", pattern)


def _allowing(rule: Rule) -> Rule:
    """Raises `UsageError` for what is too wide to allow by."""
    if "*" in rule.tool and not _OF_ONE_SERVER.fullmatch(rule.tool):
        raise UsageError(f"permission rule {rule.text[:80]!r}: tool names with * can deny or ask, not allow")
    if rule.argument:
        raise UsageError(f"permission rule {rule.text[:80]!r}: rules about an argument can deny or ask, not allow")
    return rule


def wildcard(pattern: str, text: str) -> bool:
    """`*` stands for anything, nothing else is special; linear in the text."""
    head, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, tail = rest
    if not text.startswith(head):
        return False
    at = len(head)
    for piece in middle:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(text) - at >= len(tail) and text.endswith(tail)
