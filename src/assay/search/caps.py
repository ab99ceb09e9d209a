"""When an attempt has gone on for long enough: caps that evidence extends, and an end to what leads nowhere.

Both go by how one red check looks after each edit, and so exist only where a check is red when the turn begins. A turn
without one may run for hours, and nothing here ever ends it. Where the user named neither an effort nor a number of
attempts, a model that changes nothing is told so, and goes on.

Sources: caps at a high percentile of ordinary runs, with extensions on demand; attempts that fail in the same way again
and again seldom end well (docs/effort.md).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from assay.core.budget import Spent
from assay.core.messages import Usage
from assay.loop.turn import Answered, Inject, Middleware, Stop
from assay.search.effort import Dial
from assay.verify.runners import Execution

EXTENSIONS = 2
NUDGE_AT = 3
"""Edits in a row after which the same tests fail for the same reasons."""
END_AT = 6
SPREAD = 5
"""How many times a dial's tokens, which are those of one file at fault, a tool loop may use."""
CACHED = 0.1
"""What a token that a provider had cached counts."""
_VOLATILE = re.compile(
    r"0x[0-9a-fA-F]+|/tmp/\S+|\bcheck\.\w{8}\b|\b\d+(?:\.\d+)?\s?m?s(?:ec(?:onds?)?)?\b|\d{4}-\d\d-\d\d[T ][\d:.]+"
)


class Look(Struct, frozen=True):
    """How the red check looked once."""

    signature: str
    """Equal for runs in which the same tests fail for the same reasons."""
    failing: int
    passing: int
    new_ground: bool = False
    """The edits before it touched a file that none of this turn had touched."""


def look_at(done: Execution, *, new_ground: bool = False) -> Look:
    """What `done` showed; blind to addresses, times and temporary names."""
    from hashlib import sha256

    failing = sorted(done.failing)
    reasons = [f"{name}\n{done.report.reasons.get(name, '')}" for name in failing] or [done.run.tail]
    plain = _VOLATILE.sub("~", "\n".join(reasons))
    signature = sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    passing = sum(result == "pass" for result in done.run.tests.values())
    return Look("" if done.run.passed else signature, len(failing), passing, new_ground)


def improved(before: Sequence[Look], after: Sequence[Look]) -> bool:
    """Whether `after` holds evidence that `before` lacks: fewer tests fail, more pass, or, where the runner names none,
    the check fails in a way that was not seen yet."""
    if not before or not after:
        return bool(after)
    if any(look.failing or look.passing for look in before):
        fewest, most = min(look.failing for look in before), max(look.passing for look in before)
        return any(
            not look.signature or (look.passing >= most and look.failing < fewest) or look.passing > most
            for look in after
        )
    return any(look.signature not in {known.signature for known in before} for look in after)


def in_vain(looks: Sequence[Look]) -> int:
    """Edits at the end that left the failure as it was; those on new ground are not counted."""
    count = 0
    for earlier, look in zip(reversed(looks[:-1]), reversed(looks), strict=False):
        if look.signature != earlier.signature:
            break
        count += not look.new_ground
    return count


def weighed(usage: Usage) -> float:
    """Tokens of `usage`, cached ones at what they cost."""
    return usage.input + usage.cache_write + usage.output + usage.cache_read * CACHED


class Caps(Middleware):
    """`looks` grows as edits are made, the look before the first one included. `end` ends the turn for a reason;
    `spent` is what the turn used. Unless `strict`, nothing is ended."""

    def __init__(
        self,
        dial: Dial,
        looks: Sequence[Look],
        spent: Callable[[], Spent],
        end: Callable[[str], Awaitable[Stop]],
        *,
        strict: bool,
    ) -> None:
        self._dial, self._looks, self._spent, self._end, self._strict = dial, looks, spent, end, strict
        self._steps = self._told = self._extended = self._known = 0
        self._cap = dial.turns

    async def before_step(self) -> Stop | Inject | None:
        if not self._strict:
            return None
        ceiling = self._dial.tokens * SPREAD
        if weighed(self._spent().usage) > ceiling:
            return await self._end(f"more than {ceiling:,} tokens used, as much as this effort allows")
        if self._steps >= self._cap:
            known, self._known = max(self._known, 1), len(self._looks)
            if self._extended >= EXTENSIONS or not improved(self._looks[:known], self._looks[known:]):
                return await self._end(f"{self._steps} steps without anything new that passes")
            self._extended += 1
            self._cap += self._dial.extension
        self._steps += 1
        return None

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | Inject | None:
        del answered
        count = in_vain(self._looks)
        if count < NUDGE_AT or count == self._told:
            self._told = self._told if count else 0
            return None
        self._told = count
        if count >= END_AT and self._strict:
            return await self._end(f"the last {count} edits did not change what fails")
        if count % NUDGE_AT:
            return None
        return Inject(
            "caps",
            f"The last {count} edits did not change what fails. The cause is likely elsewhere: take back what did not "
            "help, question what you took for granted, and look at another place before you edit again.",
        )
