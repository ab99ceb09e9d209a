"""Attempts over doubles: a house whose turn is forked, and a model that answers each attempt by its own script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assay.core.budget import Budget
from assay.core.events import AttemptFinished
from assay.core.messages import AssistantMessage, Text
from assay.core.model import Model, ModelRequest
from assay.run.attempt import Made, Opened, Order, carry_out, shared_records
from assay.run.run import Run, Strategy, tool_loop
from assay.testing import FunctionModel, MemoryStore
from assay.testing.models import Reply

from .house import House


def opening(request: ModelRequest) -> str:
    """The texts before the first reply."""
    return "\n".join(part.text for part in request.messages[0].parts if isinstance(part, Text))


def played(scripts: dict[str, Sequence[Reply]]) -> FunctionModel:
    """Each attempt is answered by the script whose key is in its opening, the last such one; "" is for the others."""

    def answer(request: ModelRequest) -> Reply:
        own = [script for key, script in scripts.items() if key in opening(request)][-1]
        done = sum(isinstance(message, AssistantMessage) for message in request.messages)
        return own[min(done, len(own) - 1)]

    return FunctionModel(answer)


class Forks:
    """What attempts of `house` are given. `stores` are their logs, in order, which say that they lie in `folder`."""

    def __init__(self, house: House, folder: Path | None = None) -> None:
        self.house = house
        self.folder = folder
        self.stores: list[MemoryStore] = []

    def fork(self, upto: int) -> Opened:
        log = [record for record in self.house.log if record.number <= upto]
        self.stores.append(MemoryStore(f"fork{len(self.stores)}", log, self.house.clock))
        return Opened(self.stores[-1], str(self.folder / f"{len(self.stores)}.jsonl") if self.folder else "")

    async def made(
        self, run: Run, text: str = "", *, strategy: Strategy = tool_loop, model: Model | None = None, steps: int = 20
    ) -> Made:
        """Attempt 2 at the turn that `run` has made."""
        order = Order(2, model or self.house.model, Budget(steps), text, "tried so")
        opened = self.fork(shared_records(self.house.log, run.state.turn))
        return await carry_out(run, order, opened, strategy, lambda _: None)

    @property
    def told(self) -> AttemptFinished:
        """What the session's log has of the last attempt."""
        (*_, event) = self.house.of(AttemptFinished)
        assert isinstance(event, AttemptFinished)
        return event
