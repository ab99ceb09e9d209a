"""The one gate: every effect of every call passes here. It fails closed and says which rule spoke.

Model output has the label of the session, so a session that has read what anyone could have written is taken to be
driven by them. What is decided about each sink:

| sink | what it is | decided |
| --- | --- | --- |
| egress | bytes that leave | free while nothing external was read; then to cleared hosts only, or a person decides |
| persist | protected names, files outside | never by itself: a person, or a rule that names it |
| destroy | deleting, overwriting wholesale | free where a checkpoint holds what is lost; a person where none can |
| control | our own settings and approvals | never from a model |

Egress is the rule of two as an automaton: outside text read, private data known, bytes sent. The step that would make
all three true is the one that stops.

Source: Meta's Agents Rule of Two; FIDES (information-flow control for agents).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from assay.core.policy import OPERATOR, PERSON, Decision, Effect, Label, Sink, Weighed
from assay.policy.bounds import PERMISSION_MODES, Bounds, PermissionMode
from assay.policy.labels import label_of
from assay.policy.matching import Matcher
from assay.policy.paths import within
from assay.policy.rules import Rules
from assay.policy.sinks import Sinks, place_for, said

__all__ = ["PERMISSION_MODES", "Bounds", "PermissionMode", "RuleGate"]

Expand = Callable[[str], tuple[Effect, ...]]
Kept = Callable[[str], Awaitable[bool]]
_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
_TOO_LONG = 20_000
_GIT = r"(?:\S*/)?git(?:\s+-\S+(?:\s+\S+)?)*?\s+"
_PURGES = re.compile(
    _GIT + r"(?:gc\b.*--(?:prune|aggressive)|prune\b|reflog\s+(?:expire|delete)|filter-\w+|repack\b.*-[aA]?d)"
)
_CLEANS_IGNORED = re.compile(_GIT + r"clean\b.*\s-\w*[xX]")


class RuleGate:
    """Implements `Gate`. Order, per effect: deny rules, what no rule can allow, ask rules, allow rules, then what is
    decided about its sink; the strictest verdict over all effects wins. A command line is weighed as such and by every
    effect found in it.

    `ask` means that a person has to decide. Who runs without one treats it as a refusal (exit 8); in mode `dontAsk` the
    gate itself does.

    `expand`: the effects of a command line. `kept`: whether a checkpoint taken now would hold all files at a path.
    """

    def __init__(
        self,
        bounds: Bounds,
        mode: PermissionMode = "default",
        rules: Rules | None = None,
        *,
        expand: Expand | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.mode: PermissionMode = mode
        self._bounds = bounds
        self._rules = rules or Rules()
        self._match = Matcher(bounds, self._rules)
        self._sinks = Sinks(bounds, mode, self._match)
        self._expand = expand or _effects_of
        self._kept = kept

    async def decide(
        self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: Mapping[str, object] | None = None
    ) -> Decision:
        try:
            weighed = self._by_arguments(tool, effects, arguments)
            best = OPERATOR
            for effect in effects or (Effect("none"),):
                weighed += await self._weigh(tool, effect, label)
            for each in weighed:
                best = best.join(self._label(each.effect, inner=any(own.kind == "execute" for own in effects)))
        except Exception as error:  # noqa: BLE001 - the port's contract: an error inside is a denial
            return Decision("deny", f"the policy could not be worked out ({error})", "internal error")
        strictest = max(weighed, key=lambda each: _STRICTNESS[each.verdict])
        if strictest.verdict == "allow" and self._bounds.attended:
            strictest = self._attended(weighed, strictest)
        verdict, reason = strictest.verdict, strictest.reason
        if verdict == "ask" and self.mode == "dontAsk":
            verdict, reason = "deny", f"{reason} (mode dontAsk)"
        return Decision(verdict, reason, strictest.rule, tuple(weighed), best)

    def use_mode(self, mode: PermissionMode) -> None:
        """Decide by `mode` from now on."""
        self.mode = mode
        self._bounds = replace(self._bounds, commands_read_only=mode == "plan")
        self._rebuild()

    @property
    def rules(self) -> Rules:
        return self._rules

    @property
    def added(self) -> tuple[str, ...]:
        """The directories besides the workspace that may be changed."""
        return self._bounds.added

    @property
    def attended(self) -> bool:
        """Somebody is there to be asked, and wants to be."""
        return self._bounds.attended

    def use_rules(self, rules: Rules) -> None:
        """Decide by `rules` from now on."""
        self._rules = rules
        self._rebuild()

    def use_bounds(self, *, added: tuple[str, ...] | None = None, attended: bool | None = None) -> None:
        """Other directories that may be changed; whether somebody is there to be asked."""
        self._bounds = replace(
            self._bounds,
            added=self._bounds.added if added is None else added,
            attended=self._bounds.attended if attended is None else attended,
        )
        self._rebuild()

    def _rebuild(self) -> None:
        self._match = Matcher(self._bounds, self._rules)
        self._sinks = Sinks(self._bounds, self.mode, self._match)

    def _by_arguments(
        self, tool: str, effects: tuple[Effect, ...], arguments: Mapping[str, object] | None
    ) -> list[Weighed]:
        """What rules about arguments say."""
        effect = effects[0] if effects else Effect("none")
        verdict, rule = self._match.by_arguments(tool, arguments)
        if not verdict:
            return []
        why = "is denied" if verdict == "deny" else "needs approval"
        return [Weighed(effect, verdict, f"{verdict} {rule}", f"this use of {tool} {why} by the rule {rule}")]

    def _attended(self, weighed: list[Weighed], strictest: Weighed) -> Weighed:
        """With somebody there to ask, what is more than reading and covered by no rule or mode is asked."""
        if self.mode == "bypassPermissions" or (self.mode == "plan" and self._bounds.confined):
            return strictest
        from assay.policy.attended import unasked

        if (left := unasked(weighed, self.mode)) is None:
            return strictest
        return Weighed(left.effect, "ask", "attended", f"{said(left.effect)} needs approval", left.sink)

    @property
    def hides_any(self) -> bool:
        """True when there is a rule by which `hides` may be true of something."""
        return self._match.restricts_reading

    def hides(self, path: str) -> bool:
        """True when a deny rule keeps the model from reading `path`; listings and searches leave it out."""
        try:
            return bool(self._match.denied("read", Effect("read", path)))
        except (ValueError, OSError):
            return True

    async def _weigh(self, tool: str, effect: Effect, label: Label) -> list[Weighed]:
        if effect.kind != "execute":
            return [await self._recoverable(self._one(tool, effect, label, inner=False, leave=""))]
        command = self._command(tool, effect)
        if command.verdict == "deny" or len(effect.target) > _TOO_LONG:
            return [command]
        leave = command.rule.removeprefix("allow ") if command.rule.startswith("allow ") else ""
        parts = [each for each in dict.fromkeys(self._expand(effect.target)) if each.kind != "none"]
        commands = [each.target for each in parts if each.kind == "execute"]
        judged = [self._one(tool, each, label, inner=True, leave=leave) for each in parts]
        found = [await self._recoverable(each, commands) for each in judged]
        return [command, *found]

    def _command(self, tool: str, effect: Effect) -> Weighed:
        """The word on a command line as such."""
        if rule := self._match.denied(tool, effect):
            return Weighed(effect, "deny", f"deny {rule}", f"{said(effect)} is denied by the rule {rule}")
        if self.mode == "plan" and not (self._bounds.confined and self._bounds.commands_read_only):
            return Weighed(
                effect, "deny", "mode plan", "plan mode: commands could change files; read and search instead"
            )
        if rule := self._match.asked(tool, effect):
            return Weighed(effect, "ask", f"ask {rule}", f"{said(effect)} needs approval by the rule {rule}")
        if self._match.restricts_commands:
            from assay.policy.commands import is_opaque

            if is_opaque(effect.target):
                why = "the command decides while it runs what to run; that needs approval"
                return Weighed(effect, "ask", "opaque command", why)
        if rule := self._match.allowed(tool, effect):
            return Weighed(effect, "allow", f"allow {rule}")
        if self._bounds.confined:
            return Weighed(effect, "allow", "confined")
        if self._bounds.unconfined_ok:
            return Weighed(effect, "allow", "--no-sandbox")
        return Weighed(effect, "ask", "unconfined", "commands can't be confined here; running one needs approval")

    def _one(self, tool: str, effect: Effect, label: Label, *, inner: bool, leave: str) -> Weighed:
        """One effect. `inner`: found within a command line. `leave`: the allow rules that cover that whole line."""
        sink: Sink = self._sinks.of(effect, inner=inner)
        if rule := self._match.denied(tool, effect):
            return Weighed(effect, "deny", f"deny {rule}", f"{said(effect)} is denied by the rule {rule}", sink)
        if effect == PERSON:
            return Weighed(effect, "ask", "person", f"{tool} is a question that a person answers", sink)
        fixed = self._sinks.fixed(effect, sink, label, inner=inner, leave=leave)
        if fixed is not None:
            return fixed
        if (rule := self._match.asked(tool, effect)) and not self._accepted(effect):
            return Weighed(effect, "ask", f"ask {rule}", f"{said(effect)} needs approval by the rule {rule}", sink)
        if effect.kind == "unknown" and self._match.restricts_commands:
            why = f"{said(effect)} can't be told from what a rule restricts; that needs approval"
            return Weighed(effect, "ask", "opaque command", why, sink)
        if rule := self._match.allowed(tool, effect) or (leave if sink != "persist" else ""):
            return Weighed(effect, "allow", f"allow {rule}", "", sink)
        return self._sinks.default(effect, sink, label, inner=inner)

    def _accepted(self, effect: Effect) -> bool:
        return self.mode == "acceptEdits" and effect.kind in ("write", "delete")

    async def _recoverable(self, weighed: Weighed, commands: Sequence[str] = ()) -> Weighed:
        """A deletion that is allowed because of the checkpoint needs one that holds what is lost."""
        if weighed.rule != "checkpoint" or self.mode == "bypassPermissions" or self._kept is None:
            return weighed
        lost = await self._lost(weighed.effect.target, commands)
        if not lost:
            return weighed
        why = f"{said(weighed.effect)} loses {lost}, which no checkpoint holds; that needs approval"
        return Weighed(weighed.effect, "ask", "no checkpoint", why, weighed.sink)

    async def _lost(self, target: str, commands: Sequence[str]) -> str:
        """What deleting `target` loses for good, in words. Without a target it is git's to lose, by one of `commands`:
        what it drops from a branch or the stash stays among its objects, unless they are thrown out too."""
        if not target and any(_PURGES.match(line) for line in commands):
            return "git's history"
        cleaned = target or any(_CLEANS_IGNORED.match(line) for line in commands)
        if cleaned and self._kept is not None and not await self._kept(target or "."):
            return "ignored files"
        return ""

    def _label(self, effect: Effect, *, inner: bool) -> Label:
        place = place_for(effect, self._bounds.root)
        inside = place is not None and within(place, self._match.readable)
        return label_of(effect, place, inside=inside, confined=inner and self._bounds.confined)


def _effects_of(line: str) -> tuple[Effect, ...]:
    from assay.policy.shell_effects import effects_of  # not on the way to the first request

    return effects_of(line)
