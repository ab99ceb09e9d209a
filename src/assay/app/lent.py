"""Leave that a skill or command of the user's brings along, for the turn in which it is carried out.

It is a set of allow rules among the others: deny and ask rules come first, as always.
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from assay.policy.rules import Rule, Rules, parse_rules


class _Gate(Protocol):
    @property
    def rules(self) -> Rules: ...

    def use_rules(self, rules: Rules) -> None: ...


class Lending:
    """Adds rules to a gate, and takes them away again; rules that came meanwhile stay."""

    def __init__(self, gate: _Gate) -> None:
        self._gate = gate
        self._lent: tuple[Rule, ...] = ()

    def lend(self, rules: tuple[str, ...]) -> None:
        """Until `end`. Raises `UsageError` for what is no rule, or too wide."""
        present = self._gate.rules
        more = tuple(rule for rule in parse_rules([*rules]).allow if rule not in present.allow)
        if more:
            self._lent += more
            self._gate.use_rules(replace(present, allow=(*present.allow, *more)))

    def end(self) -> None:
        """Nothing is lent any more."""
        if self._lent:
            present = self._gate.rules
            self._gate.use_rules(
                replace(present, allow=tuple(each for each in present.allow if each not in self._lent))
            )
            self._lent = ()
