"""File name patterns as ripgrep reads them: `*`, `**`, `?`, `[abc]`, `{a,b}`; without a slash, at any depth."""

from __future__ import annotations

import re


def glob_regex(glob: str) -> re.Pattern[str]:
    """A pattern to `fullmatch` workspace-relative paths with. What makes no sense, as `[a` or `[z-a]`, is literal."""
    rooted = "/" in glob.rstrip("/")
    name = glob.lstrip("/").rstrip("/")
    # A name that matches a directory means what lies in it.
    around = ("" if rooted else "(?:.*/)?") + "{}(?:/.*)?"
    try:
        return re.compile(around.replace("{}", _translated(name)), re.DOTALL)
    except re.error:
        return re.compile(around.replace("{}", re.escape(name)), re.DOTALL)


def _translated(glob: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(glob):
        rest = glob[at:]
        if rest.startswith("**/"):
            out.append("(?:.*/)?")
            at += 3
        elif rest.startswith("**"):
            out.append(".*")
            at += len(rest) - len(rest.lstrip("*"))
        elif rest[0] in "*?":
            out.append("[^/]*" if rest[0] == "*" else "[^/]")
            at += 1
        elif rest[0] == "[" and (closed := re.match(r"\[[!^]?\]?[^\]/]*\]", rest)):
            inner = closed.group()[1:-1]
            negated = inner[:1] in ("!", "^")
            # A second hyphen in a row is one day to mean a difference of sets.
            members = re.sub(r"([\\\[\]&~|^]|(?<=-)-)", r"\\\1", inner[negated:])
            out.append(f"[{'^' if negated else ''}{members}]")
            at += closed.end()
        elif rest[0] == "{" and (closed := re.match(r"\{([^{}]*)\}", rest)):
            out.append("(?:" + "|".join(_translated(part) for part in closed.group(1).split(",")) + ")")
            at += closed.end()
        else:
            out.append(re.escape(rest[0]))
            at += 1
    return "".join(out)
