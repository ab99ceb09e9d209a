"""The port of the one gate: effects of a call, and the decision about them."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

EffectKind = Literal["read", "write", "delete", "execute", "network", "control", "none"]
Verdict = Literal["allow", "ask", "deny"]


class Effect(Struct, frozen=True):
    """What a call would do to the world."""

    kind: EffectKind
    target: str = ""
    """A workspace-relative or absolute path, a command line, or a host, by kind."""


class Decision(Struct, frozen=True):
    verdict: Verdict
    reason: str = ""
    """One line that the model and the person can act on."""
    rule: str = ""
    """Which rule spoke, for the log."""


class Gate(Protocol):
    """Contract: strictest verdict wins, what is not understood is `ask`, an error inside is `deny`. Never raises."""

    async def decide(self, tool: str, effects: tuple[Effect, ...]) -> Decision: ...
