"""Questions beside the conversation, put to the model of the turn in another role."""

from __future__ import annotations

from assay.core.messages import AssistantMessage
from assay.core.model import ModelRequest
from assay.loop.limits import least_dollars
from assay.run.run import Run


async def ask_aside(run: Run, request: ModelRequest, role: str, size: int) -> AssistantMessage | None:
    """The reply to `request`, which sends about `size` tokens; None when the budget has no room for it, or the model
    gave none. It is logged and counted under `role`, and no part of the conversation."""
    price = run.parts.model.profile.price
    dollars = least_dollars(size, price) if price else 0.0
    tokens = size + (request.max_output or 0)
    if run.spent.exceeds(run.options.budget, next_tokens=tokens, next_dollars=dollars):
        return None
    said = await run.ask(request, role=role)
    return None if said.failure else said
