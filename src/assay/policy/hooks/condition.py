"""Whether a call meets the `if` of a hook: one permission rule, read so that in doubt the hook runs."""

from __future__ import annotations

from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.policy.rules import Rule, parse_rule, wildcard

_TOOLS = {
    "command": ("bash", "shell"),
    "read": ("read", "grep", "glob", "search"),
    "write": ("edit", "write", "multiedit", "notebookedit"),
    "network": ("webfetch",),
}


def meets(condition: str, tool: str, arguments: dict[str, Json], root: str) -> bool:
    try:
        rule = parse_rule(condition)
    except UsageError:
        return True
    if rule.subject == "tool":
        return wildcard(rule.tool.lower(), tool.lower())
    if tool.lower() not in _TOOLS[rule.subject]:
        return False
    return not rule.pattern or _might(rule, arguments, root)


def _might(rule: Rule, arguments: dict[str, Json], root: str) -> bool:
    if rule.subject == "command":
        from assay.policy.commands import might_be

        return might_be(rule, str(arguments.get("command", "")))
    if rule.subject == "network":
        from urllib.parse import urlsplit

        from assay.policy.matching import host_matches

        try:
            return host_matches(rule.pattern, urlsplit(str(arguments.get("url", ""))).hostname or "")
        except ValueError:
            return True
    from assay.policy.paths import path_matches, place_of

    named = next((arguments[key] for key in ("file_path", "notebook_path", "path") if key in arguments), None)
    if named is None:
        return True
    try:
        place, top = place_of(str(named), root), place_of(root, "/")
    except ValueError:
        return True
    pairs = ((place.named, top.named), (place.real, top.real))
    return any(path_matches(rule.pattern, path, base, fold=True) for path, base in pairs)
