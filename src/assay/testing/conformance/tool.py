"""The contract of `Tool`: honest about its effects, bounded, and never raising for what goes wrong in the world."""

from __future__ import annotations

import asyncio
import re
import time
from copy import deepcopy

from assay.core.errors import InvalidArguments
from assay.core.messages import Image, Json, Text
from assay.core.tool import Tool, ToolContext, ToolOutcome

LIMIT = 100_000
"""Characters of text that one result may put before a model."""
SECONDS = 60.0


async def _run(tool: Tool, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
    before = deepcopy(arguments), dict(context.seen)
    tool.effects(arguments)
    async with asyncio.timeout(SECONDS):
        outcome = await tool.run(arguments, context)
    assert (arguments, context.seen) == before, "arguments and context are read only"
    assert outcome.content, "a model is always told something"
    assert all(isinstance(part, Text | Image) for part in outcome.content)
    assert sum(len(part.text) for part in outcome.content if isinstance(part, Text)) <= LIMIT
    assert "\n" not in outcome.display, "one line for the person"
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in outcome.seen.values())
    return outcome


class ToolConformance:
    """Needs the fixtures `tool`; `context`, a `ToolContext`; `good`, arguments that work there; `troubled`, well-formed
    arguments that can't work there (a missing file, a failing command); and `nonsense`, a list of arguments that make
    no sense."""

    def test_the_spec_can_be_sent_to_a_provider(self, tool: Tool) -> None:
        spec = tool.spec
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}", spec.name)
        assert spec.description.strip()
        assert spec.parameters.get("type") == "object"
        assert isinstance(spec.parameters.get("properties", {}), dict)
        assert tool.spec == spec, "the prefix of a request must not move"

    def test_effects_are_quick_and_the_same_each_time(self, tool: Tool, good: dict[str, Json]) -> None:
        start = time.perf_counter()
        effects = [tool.effects(deepcopy(good)) for _ in range(10)]
        assert time.perf_counter() - start < 10.0
        assert effects == effects[:1] * 10

    def test_nonsense_is_refused_before_anything_happens(self, tool: Tool, nonsense: list[dict[str, Json]]) -> None:
        assert nonsense
        for arguments in nonsense:
            try:
                tool.effects(arguments)
            except InvalidArguments as error:
                assert str(error).strip(), "the model is told what is wrong"
            else:
                raise AssertionError(f"accepted {arguments!r}")

    async def test_a_good_call_works(self, tool: Tool, good: dict[str, Json], context: ToolContext) -> None:
        outcome = await _run(tool, good, context)
        assert not outcome.is_error, outcome.content

    async def test_trouble_is_told_and_not_raised(
        self, tool: Tool, troubled: dict[str, Json], context: ToolContext
    ) -> None:
        outcome = await _run(tool, troubled, context)
        assert outcome.is_error
