"""Where a failing check points: lines to look at, likeliest first."""

from __future__ import annotations

import asyncio

from assay.core.errors import WorkspaceError
from assay.repair.locate import locate
from assay.run.run import Run
from assay.search.located import read_sources

MOST = 6


async def places_of(run: Run) -> list[str]:
    """`path:first-last symbol` for functions at fault at the start of the turn, as far as what failed then tells; []
    where nothing does. Runs no check: the baselines that are known are all it goes by."""
    start = await run.start_tree()
    known = (await run.proof.gate(start, run.state.prompt)).ledger.known()
    red = next((each for each in known if each.result == "fail"), None)
    if red is None:
        return []
    try:
        async with run.workspace.copy(start) as copy:
            sources, _ = await read_sources(copy)
    except WorkspaceError:
        return []
    found = await asyncio.to_thread(locate, sources, red.first.output, tuple(red.failing), run.state.prompt, MOST)
    return [f"{each.path}:{each.start}-{each.end} {each.symbol}" for each in found]
