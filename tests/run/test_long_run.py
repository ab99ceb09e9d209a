"""A very long session: thousands of steps, many compactions, and memory that stays flat."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import count
from pathlib import Path

from assay.core.events import Compacted
from assay.core.messages import Usage
from assay.core.model import ModelRequest, estimate_tokens
from assay.sessions.log import SessionLog
from assay.testing import FunctionModel, reply
from assay.testing.models import Reply

from .house import House, read, with_context, words

TURNS = 200
STEPS = 10


async def test_after_thousands_of_steps_memory_is_flat(tmp_path: Path) -> None:
    steps = count()

    def work(request: ModelRequest) -> Reply:
        sent = sum(estimate_tokens(str(message)) for message in request.messages[-4:])
        number = next(steps)
        if number % STEPS == STEPS - 1:
            return reply(f"turn {number // STEPS} is done", usage=Usage(sent, output=20))
        return reply("", [read(f"{number % 7}.txt")], usage=Usage(150 * len(request.messages), output=20))

    house = House(
        model=FunctionModel(work, with_context(12_000)), files={f"{n}.txt": b"line\n" * 100 for n in range(7)}
    )
    model = house.model
    assert isinstance(model, FunctionModel)
    house.store = SessionLog.create(tmp_path / "long.jsonl", clock=house.clock)
    run = house.run()
    run.bus._watchers.clear()  # type: ignore[attr-defined]
    compactions = 0

    def watch(seen: object) -> None:
        nonlocal compactions
        compactions += isinstance(getattr(seen, "event", None), Compacted)

    run.bus.subscribe(watch)
    sizes: list[int] = []
    for turn in range(TURNS):
        ended = await run.turn(words(f"turn {turn}"))
        assert ended.verdict.outcome == "answered"
        model.requests.clear()
        house.workspace.trees.clear()
        house.clock.advance(60)
        if turn == TURNS * 3 // 4:
            gc.collect()
            tracemalloc.start()
        if turn == TURNS - 1:
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
    house.store.close()
    assert compactions > 10
    assert len(run.state.messages()) < 100
    assert sizes[0] < 600_000, "bytes that the last 500 steps left behind"
    resumed = SessionLog.open(tmp_path / "long.jsonl")
    house.store = resumed
    again = house.run()
    assert list(again.state.messages()) == list(run.state.messages())
    assert again.next_input() == run.next_input()
    resumed.close()
