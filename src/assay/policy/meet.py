"""Several gates as one: the strictest word counts."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from assay.core.policy import Decision, Effect, Gate, Label

_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}


class Meet:
    """Implements `Gate`. What a sub-agent may do is never more than either gate lets it."""

    def __init__(self, first: Gate, *others: Gate) -> None:
        self._gates = (first, *others)

    async def decide(
        self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: Mapping[str, object] | None = None
    ) -> Decision:
        decisions = [await gate.decide(tool, effects, label, arguments) for gate in self._gates]
        strictest = max(decisions, key=lambda decision: _STRICTNESS[decision.verdict])
        best = strictest.label
        for decision in decisions:
            best = best.join(decision.label)
        return replace(strictest, label=best)
