"""How an attempt is made follows from facts about the model, never from its name."""

from __future__ import annotations

from assay.core.model import Profile
from assay.loop.turn import Stop
from assay.run.run import Run, Strategy, tool_loop


def strategy_for(profile: Profile) -> Strategy:
    """The strategy for a model."""
    if profile.strategy == "slots":
        from assay.search.slots_run import take_slots

        return take_slots
    return driven


async def driven(run: Run) -> Stop:
    """The tool loop; by the fast path where a check may be red. What asks for neither pays for neither."""
    options = run.options
    if not run.proof.user_checks and options.reasoning.effort is None and options.attempts is None:
        return await tool_loop(run)
    from assay.search.single import take_single

    return await take_single(run)
