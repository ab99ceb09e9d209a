"""The contract of `Gate`: it always answers, and what it does not understand is never simply allowed."""

from __future__ import annotations

from typing import cast, get_args

from assay.core.policy import EXTERNAL, OPERATOR, WORKSPACE, Decision, Effect, EffectKind, Gate, Label

_ORDER = ("allow", "ask", "deny")


class GateConformance:
    """Needs a fixture `gate`."""

    async def test_every_effect_gets_a_decision_with_a_reason_when_it_is_not_allowed(self, gate: Gate) -> None:
        for kind in get_args(EffectKind):
            for target in ("", "a.py", "../../outside", "/etc/passwd", "rm -rf /", "\x00\ud800", "x" * 100_000):
                decision = await gate.decide("tool", (Effect(kind, target),), OPERATOR)
                assert decision.verdict in ("allow", "ask", "deny")
                assert decision.verdict == "allow" or decision.reason

    async def test_what_is_not_understood_is_not_allowed(self, gate: Gate) -> None:
        unheard = cast(EffectKind, "transmogrify")
        assert (await gate.decide("tool", (Effect(unheard, "a"),), OPERATOR)).verdict != "allow"

    async def test_the_strictest_effect_decides(self, gate: Gate) -> None:
        effects = (Effect("read", "a.py"), Effect("write", "/etc/passwd"), Effect("network", "example.com"))
        alone: list[Decision] = [await gate.decide("tool", (effect,), OPERATOR) for effect in effects]
        together = await gate.decide("tool", effects, OPERATOR)
        assert _ORDER.index(together.verdict) >= max(_ORDER.index(decision.verdict) for decision in alone)

    async def test_a_worse_label_never_loosens(self, gate: Gate) -> None:
        labels = (OPERATOR, WORKSPACE, WORKSPACE.join(EXTERNAL), Label("external", "secret"))
        for kind in get_args(EffectKind):
            for target in ("a.py", ".git/config", "/etc/passwd", "example.com"):
                said = [(await gate.decide("tool", (Effect(kind, target),), label)).verdict for label in labels]
                assert [_ORDER.index(verdict) for verdict in said] == sorted(map(_ORDER.index, said))

    async def test_a_model_never_changes_what_limits_it(self, gate: Gate) -> None:
        assert (await gate.decide("tool", (Effect("control", "policy"),), OPERATOR)).verdict == "deny"

    async def test_a_decision_tells_what_it_rests_on(self, gate: Gate) -> None:
        decision = await gate.decide("tool", (Effect("read", "a.py"), Effect("write", "a.py")), OPERATOR)
        assert {weighed.effect.kind for weighed in decision.weighed} >= {"read", "write"}
        assert max((each.verdict for each in decision.weighed), key=_ORDER.index) == decision.verdict
