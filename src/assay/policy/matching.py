"""Which of the user's rules speak on an effect. A deny or ask rule holds if it might be meant, an allow rule only if it
surely is."""

from __future__ import annotations

from collections.abc import Mapping

from assay.core.policy import Effect, Verdict
from assay.policy.bounds import Bounds
from assay.policy.paths import Place, ProtectedNames, path_matches, place_of, within
from assay.policy.rules import Rule, Rules, wildcard


class Matcher:
    def __init__(self, bounds: Bounds, rules: Rules) -> None:
        self._bounds = bounds
        self._rules = rules
        self._about_arguments = tuple(
            (verdict, rule, rule.argument)
            for verdict, rules_of in (("deny", rules.deny), ("ask", rules.ask))
            for rule in rules_of
            if rule.argument
        )
        self._names = ProtectedNames()
        self.root = place_of(bounds.root, "/")
        self.writable = (self.root, *(place_of(path, bounds.root) for path in bounds.added))
        self.ours = tuple(place_of(path, "/") for path in bounds.ours)
        self.readable = (*self.writable, *(place_of(path, bounds.root) for path in bounds.readable))

    def denied(self, tool: str, effect: Effect) -> str:
        """The first deny rule that might be about `effect`, or empty."""
        return self._spoken(self._rules.deny, tool, effect)

    def asked(self, tool: str, effect: Effect) -> str:
        return self._spoken(self._rules.ask, tool, effect)

    def allowed(self, tool: str, effect: Effect) -> str:
        """The allow rules that cover all of `effect`, or empty."""
        rules = tuple(rule for rule in self._rules.allow if rule.covers(tool, effect.kind))
        if effect.kind == "execute":
            # An allow rule spares the question, not the sandbox.
            if not (self._bounds.confined or self._bounds.unconfined_ok):
                return ""
            from assay.policy.commands import allows

            return allows(tuple(rule for rule in rules if rule.subject == "command"), effect.target)
        return next((rule.text for rule in rules if self._surely(rule, effect)), "")

    def by_arguments(self, tool: str, arguments: Mapping[str, object] | None) -> tuple[Verdict | None, str]:
        """The first rule about an argument that this call might have, and its verdict."""
        for verdict, rule, (name, wanted) in self._about_arguments:
            if not rule.covers(tool, "none"):
                continue
            value = None if arguments is None else arguments.get(name)
            if arguments is None or (value is not None and wildcard(wanted.casefold(), plain(value).casefold())):
                return ("deny" if verdict == "deny" else "ask"), rule.told
        return None, ""

    @property
    def restricts_commands(self) -> bool:
        """A deny or ask rule is about command lines: what can't be read then might be what it names."""
        return any(rule.subject == "command" for rule in (*self._rules.deny, *self._rules.ask))

    @property
    def restricts_reading(self) -> bool:
        return any(rule.subject == "read" for rule in self._rules.deny)

    def protected_part(self, place: Place) -> str:
        """The protected name within a path, or empty."""
        return self._names.part_of(place, self.root)

    def _spoken(self, rules: tuple[Rule, ...], tool: str, effect: Effect) -> str:
        for rule in rules:
            if rule.covers(tool, effect.kind) and self._might(rule, effect):
                return rule.told
        return ""

    def _might(self, rule: Rule, effect: Effect) -> bool:
        if rule.argument:
            return False
        if rule.subject == "tool" and rule.pattern and rule.names and effect.kind == "none" and effect.target:
            return names_match(rule.pattern.casefold(), effect.target.casefold())
        if not rule.pattern or rule.subject == "tool":
            # A pattern on a tool that we can't interpret: the whole tool, to be safe.
            return True
        if rule.subject == "command":
            from assay.policy.commands import might_be

            return might_be(rule, effect.target)
        if rule.subject == "network":
            # A destination that can't be told might be any.
            return not effect.target or host_matches(rule.pattern, effect.target)
        place = place_of(effect.target, self._bounds.root)
        pairs = ((place.named, self.root.named), (place.real, self.root.real))
        return any(path_matches(rule.pattern, path, root, fold=True) for path, root in pairs)

    def _surely(self, rule: Rule, effect: Effect) -> bool:
        if rule.subject == "network":
            return not rule.pattern or host_matches(rule.pattern, effect.target)
        if rule.subject == "tool" and rule.pattern:
            return rule.names and bool(effect.target) and names_match(rule.pattern, effect.target)
        if effect.kind not in ("read", "write", "delete", "destroy"):
            return rule.subject == "tool"
        place = place_of(effect.target, self._bounds.root)
        name = self.protected_part(place) if effect.kind != "read" else ""
        if name and name not in rule.pattern.casefold():
            # Leave to change a protected name has to name it.
            return False
        if not rule.pattern:
            return within(place, self.readable)
        pairs = ((place.named, self.root.named), (place.real, self.root.real))
        return all(path_matches(rule.pattern, path, root) for path, root in pairs)


def names_match(pattern: str, name: str) -> bool:
    """`name` is what a rule on skills or agents speaks about; `name *` is the same with any arguments."""
    pattern = pattern.removesuffix(":*").removesuffix(" *")
    return wildcard(pattern, name)


def plain(value: object) -> str:
    """A scalar as a rule writes it; anything else as nothing a rule could mean."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else "\0"


def host_matches(pattern: str, host: str) -> bool:
    wanted, host = pattern.removeprefix("domain:").strip().casefold(), host.casefold().rstrip(".")
    return host.endswith(wanted[1:]) and host != wanted[2:] if wanted.startswith("*.") else host == wanted
