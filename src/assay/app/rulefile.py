"""The permission rules of a settings file: what is wrong with them and where, and what is left when something is."""

from __future__ import annotations

from typing import cast

import msgspec

from assay.app.config import PermissionRule, Permissions, Settings
from assay.app.lines import at, line_of
from assay.core.errors import UsageError
from assay.policy.examples import List, contradiction, parse_listed
from assay.policy.rules import Rule, Rules

LISTS: tuple[List, ...] = ("allow", "ask", "deny")


def faults_of(settings: Settings, text: str, where: str) -> list[str]:
    """What is wrong with the rules in `settings`, which came from `text`: one line each, with file and line."""
    said = settings.permissions
    faults: list[str] = []

    def fault(path: str, what: str) -> None:
        faults.append(f"{at(where, line_of(text, path))}: {what}")

    for kind in LISTS:
        for number, rule in enumerate(getattr(said, kind)):
            path = f"$.permissions.{kind}[{number}]"
            try:
                parse_listed(kind, rule)
            except UsageError as error:
                fault(path, str(error))
            if kind == "allow" and rule in said.deny:
                fault(
                    path, f"permission rule {rule[:80]!r} allows what a rule of the same words denies; it can't apply"
                )
    for number, entry in enumerate(said.rules):
        path = f"$.permissions.rules[{number}]"
        try:
            kind, rule = _parsed(entry)
        except UsageError as error:
            fault(path, str(error))
            continue
        if wrong := contradiction(kind, rule, entry.matches, entry.others):
            fault(path, f"permission rule {wrong}")
    return faults


def rules_of(said: Permissions, allowed: tuple[str, ...] = (), denied: tuple[str, ...] = ()) -> Rules:
    """All rules of settings and flags. Raises `UsageError`."""
    from assay.policy.rules import parse_rules

    plain = parse_rules([*said.allow, *allowed], [*said.ask], [*said.deny, *denied])
    found: dict[str, list[Rule]] = {kind: [*getattr(plain, kind)] for kind in LISTS}
    for entry in said.rules:
        kind, rule = _parsed(entry)
        found[kind].append(rule)
    return Rules(*(tuple(found[kind]) for kind in LISTS))


def stricter(text: bytes) -> Settings:
    """What a file with something wrong in it still says: its deny and ask rules, as far as they are any."""
    try:
        raw = msgspec.json.decode(text, type=dict[str, object]).get("permissions")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Settings()
    if not isinstance(raw, dict):
        return Settings()
    said = cast("dict[str, object]", raw)
    kept: dict[str, tuple[str, ...]] = {}
    for kind in ("ask", "deny"):
        listed = said.get(kind)
        entries = said.get("rules")
        texts = [*cast("list[object]", listed)] if isinstance(listed, list) else []
        texts += [
            cast("dict[str, object]", entry).get(kind)
            for entry in (cast("list[object]", entries) if isinstance(entries, list) else [])
            if isinstance(entry, dict)
        ]
        kept[kind] = tuple(text for text in texts if isinstance(text, str) and _is_rule(kind, text))
    return Settings(permissions=Permissions(ask=kept["ask"], deny=kept["deny"]))


def _parsed(entry: PermissionRule) -> tuple[List, Rule]:
    given: list[List] = [kind for kind in LISTS if getattr(entry, kind)]
    if len(given) != 1:
        raise UsageError(f"a permission rule has one of allow, ask and deny; this has {' and '.join(given) or 'none'}")
    return given[0], parse_listed(given[0], getattr(entry, given[0]), entry.because)


def _is_rule(kind: str, text: str) -> bool:
    try:
        parse_listed("ask" if kind == "ask" else "deny", text)
    except UsageError:
        return False
    return True
