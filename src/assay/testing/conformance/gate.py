"""The contract of `Gate`: it always answers, and what it does not understand is never simply allowed."""

from __future__ import annotations

from typing import cast

from assay.core.policy import OPERATOR, Decision, Effect, EffectKind, Gate


class GateConformance:
    """Needs a fixture `gate`."""

    async def test_every_effect_gets_a_decision_with_a_reason_when_it_is_not_allowed(self, gate: Gate) -> None:
        for kind in ("read", "write", "delete", "execute", "network", "control", "none"):
            for target in ("", "a.py", "../../outside", "/etc/passwd", "rm -rf /", "\x00\ud800", "x" * 100_000):
                decision = await gate.decide("tool", (Effect(kind, target),), OPERATOR)
                assert decision.verdict in ("allow", "ask", "deny")
                assert decision.verdict == "allow" or decision.reason

    async def test_what_is_not_understood_is_not_allowed(self, gate: Gate) -> None:
        unheard = cast(EffectKind, "transmogrify")
        assert (await gate.decide("tool", (Effect(unheard, "a"),), OPERATOR)).verdict != "allow"

    async def test_the_strictest_effect_decides(self, gate: Gate) -> None:
        order = ("allow", "ask", "deny")
        effects = (Effect("read", "a.py"), Effect("write", "/etc/passwd"), Effect("network", "example.com"))
        alone: list[Decision] = [await gate.decide("tool", (effect,), OPERATOR) for effect in effects]
        together = await gate.decide("tool", effects, OPERATOR)
        assert order.index(together.verdict) >= max(order.index(decision.verdict) for decision in alone)
