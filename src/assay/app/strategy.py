"""How an attempt is made follows from facts about the model, never from its name."""

from __future__ import annotations

from assay.core.model import Profile
from assay.run.run import Strategy


def strategy_for(profile: Profile) -> Strategy | None:
    """The strategy for a model; None for the tool loop."""
    if profile.strategy == "slots":
        from assay.search.slots_run import take_slots

        return take_slots
    return None
