"""The one gate: every effect of every call passes here. It fails closed and says which rule spoke."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from assay.core.policy import Decision, Effect, Label
from assay.policy.paths import ProtectedNames, path_matches, place_of, within
from assay.policy.rules import Rule, Rules

PermissionMode = Literal["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]
PERMISSION_MODES: tuple[PermissionMode, ...] = ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")

_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}


class Bounds(Struct, frozen=True):
    """What a run may touch without a rule."""

    root: str
    """The absolute path of the workspace."""
    added: tuple[str, ...] = ()
    """Further directories, as writable as the workspace lets them be (`--add-dir`)."""
    readable: tuple[str, ...] = ()
    """Directories that may be read only: spilled output."""
    confined: bool = False
    """Commands run inside a sandbox."""
    unconfined_ok: bool = False
    """The user said `--no-sandbox`."""
    commands_read_only: bool = False
    """Commands can't write in the workspace; what plan mode needs to run any."""


class RuleGate:
    """Implements `Gate`. Order, per effect: deny rules, what no rule can allow, ask rules, allow rules, mode and
    defaults; the strictest verdict over all effects wins.

    `ask` means that a person has to decide. Who runs without one treats it as a refusal (exit 8); in mode `dontAsk` the
    gate itself does.
    """

    def __init__(self, bounds: Bounds, mode: PermissionMode = "default", rules: Rules | None = None) -> None:
        self.mode: PermissionMode = mode
        self._bounds = bounds
        self._rules = rules or Rules()
        self._protected = ProtectedNames()
        self._root = place_of(bounds.root, "/")
        self._writable = (self._root, *(place_of(path, bounds.root) for path in bounds.added))
        self._readable = (*self._writable, *(place_of(path, bounds.root) for path in bounds.readable))

    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label) -> Decision:
        del label
        try:
            decisions = [self._one(tool, effect) for effect in effects or (Effect("none"),)]
        except Exception as error:  # noqa: BLE001 - the port's contract: an error inside is a denial
            return Decision("deny", f"the policy could not be worked out ({error})", "internal error")
        strictest = max(decisions, key=lambda decision: _STRICTNESS[decision.verdict])
        if strictest.verdict == "ask" and self.mode == "dontAsk":
            return Decision("deny", f"{strictest.reason} (mode dontAsk)", strictest.rule)
        return strictest

    def hides(self, path: str) -> bool:
        """True when a deny rule keeps the model from reading `path`; listings and searches leave it out."""
        try:
            return bool(self._spoken(self._rules.deny, "read", Effect("read", path)))
        except (ValueError, OSError):
            return True

    def _one(self, tool: str, effect: Effect) -> Decision:
        if rule := self._spoken(self._rules.deny, tool, effect):
            return Decision("deny", f"{_said(effect)} is denied by the rule {rule}", f"deny {rule}")
        if fixed := self._fixed(effect):
            return fixed
        if rule := self._spoken(self._rules.ask, tool, effect):
            return Decision("ask", f"{_said(effect)} needs approval by the rule {rule}", f"ask {rule}")
        if effect.kind == "execute" and self._hidden_from_rules(effect.target):
            return Decision(
                "ask", "the command decides while it runs what to run; that needs approval", "opaque command"
            )
        if rule := self._allowed(tool, effect):
            return Decision("allow", "", f"allow {rule}")
        return self._default(effect)

    def _fixed(self, effect: Effect) -> Decision | None:
        """What no allow rule and no mode changes."""
        if effect.kind == "control":
            return Decision("ask", f"{_said(effect)} changes the run's own limits; that needs approval", "control")
        if effect.kind in ("write", "delete"):
            if not within(place_of(effect.target, self._bounds.root), self._writable):
                return Decision("deny", f"{_shown(effect.target)} is outside the workspace (see --add-dir)", "outside")
            if self.mode == "plan":
                return Decision("deny", "plan mode: files can't be changed; present the plan instead", "mode plan")
        if effect.kind == "execute" and self.mode == "plan" and not self._plan_may_execute():
            return Decision("deny", "plan mode: commands could change files; read and search instead", "mode plan")
        return None

    def _plan_may_execute(self) -> bool:
        return self._bounds.confined and self._bounds.commands_read_only

    def _default(self, effect: Effect) -> Decision:
        bounds = self._bounds
        match effect.kind:
            case "none":
                return Decision("allow", "", "no effect")
            case "read":
                if within(place_of(effect.target, bounds.root), self._readable):
                    return Decision("allow", "", "inside")
                if self.mode == "bypassPermissions":
                    return Decision("allow", "", f"mode {self.mode}")
                return Decision(
                    "ask", f"{_shown(effect.target)} is outside the workspace; reading it needs approval", "outside"
                )
            case "write" | "delete":
                if name := self._protected.part_of(place_of(effect.target, bounds.root), self._root):
                    reason = f"{name} is a protected name: it can make others run something. Changing it needs approval"
                    return Decision("ask", reason, "protected")
                return Decision("allow", "", "inside")
            case "execute":
                if bounds.confined:
                    return Decision("allow", "", "confined")
                if bounds.unconfined_ok:
                    return Decision("allow", "", "--no-sandbox")
                return Decision("ask", "commands can't be confined here; running one needs approval", "unconfined")
            case _:
                if self.mode == "bypassPermissions" and effect.kind == "network":
                    return Decision("allow", "", f"mode {self.mode}")
                return Decision("ask", f"{_said(effect)} needs approval", "not known to be harmless")

    def _spoken(self, rules: tuple[Rule, ...], tool: str, effect: Effect) -> str:
        """The first deny or ask rule that might be about `effect`, or empty."""
        for rule in rules:
            if rule.covers(tool, effect.kind) and self._might_match(rule, effect):
                return rule.text
        return ""

    def _might_match(self, rule: Rule, effect: Effect) -> bool:
        if not rule.pattern or rule.subject == "tool":
            # A pattern on a tool that we can't interpret: the whole tool, to be safe.
            return True
        if rule.subject == "command":
            from assay.policy.commands import might_be

            return might_be(rule, effect.target)
        if rule.subject == "network":
            return _host_matches(rule.pattern, effect.target)
        place = place_of(effect.target, self._bounds.root)
        pairs = ((place.named, self._root.named), (place.real, self._root.real))
        return any(path_matches(rule.pattern, path, root, fold=True) for path, root in pairs)

    def _allowed(self, tool: str, effect: Effect) -> str:
        """The allow rules that cover all of `effect`, or empty."""
        rules = tuple(rule for rule in self._rules.allow if rule.covers(tool, effect.kind))
        if effect.kind == "execute":
            # An allow rule spares the question, not the sandbox.
            if not (self._bounds.confined or self._bounds.unconfined_ok):
                return ""
            from assay.policy.commands import allows

            return allows(tuple(rule for rule in rules if rule.subject == "command"), effect.target)
        return next((rule.text for rule in rules if self._surely_matches(rule, effect)), "")

    def _surely_matches(self, rule: Rule, effect: Effect) -> bool:
        if rule.subject == "network":
            return not rule.pattern or _host_matches(rule.pattern, effect.target)
        if effect.kind not in ("read", "write", "delete"):
            return rule.subject == "tool" and not rule.pattern
        place = place_of(effect.target, self._bounds.root)
        name = self._protected.part_of(place, self._root) if effect.kind != "read" else ""
        if name and name not in rule.pattern.casefold():
            # Leave to change a protected name has to name it.
            return False
        if rule.subject == "tool" or not rule.pattern:
            return not rule.pattern and within(place, self._readable)
        pairs = ((place.named, self._root.named), (place.real, self._root.real))
        return all(path_matches(rule.pattern, path, root) for path, root in pairs)

    def _hidden_from_rules(self, command: str) -> bool:
        """A deny or ask rule restricts commands, and this one might be what it names without showing it."""
        restricted = any(rule.subject == "command" for rule in (*self._rules.deny, *self._rules.ask))
        if not restricted:
            return False
        from assay.policy.commands import is_opaque

        return is_opaque(command)


def _said(effect: Effect) -> str:
    return f"{effect.kind} {_shown(effect.target)}".strip()


def _shown(target: str) -> str:
    """One short line without anything that can't be seen."""
    line = "".join(character if character.isprintable() else "?" for character in " ".join(target[:400].split()))
    return line if len(line) <= 80 else line[:79] + "…"


def _host_matches(pattern: str, host: str) -> bool:
    wanted, host = pattern.removeprefix("domain:").strip().casefold(), host.casefold().rstrip(".")
    return host.endswith(wanted[1:]) and host != wanted[2:] if wanted.startswith("*.") else host == wanted
