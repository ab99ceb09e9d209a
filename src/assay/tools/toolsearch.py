"""Finds tools that requests leave out, and loads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from assay.core.messages import Json, Text
from assay.core.model import ToolSpec
from assay.core.policy import EXTERNAL, OPERATOR, Effect
from assay.core.tool import Tool, ToolContext, ToolOutcome
from assay.tools.bound import one_line
from assay.tools.schema import read_arguments

MOST = 20
USUAL = 5
TEXT = 24_000
"""Characters of schemas in one answer."""


class SearchArguments(Struct, forbid_unknown_fields=True):
    query: str
    max_results: int = USUAL


class ToolSearch:
    """`deferred`: the tools there are to find. `named`: those of them that the description names, fixed from the
    beginning, so that requests stay as they were when more come."""

    def __init__(self, deferred: Callable[[], Sequence[Tool]], named: Sequence[str] = ()):
        self._deferred = deferred
        there = f" There are: {', '.join(named)}." if named else ""
        self.spec = ToolSpec(
            "ToolSearch",
            f"Load further tools before calling them. query: 'select:NAME,NAME' or words.{there}",
            {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
        )

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        read_arguments(self.spec.name, arguments, SearchArguments)
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context
        asked = read_arguments(self.spec.name, arguments, SearchArguments)
        tools = self._deferred()
        found, missing = chosen(asked.query, tools, max(1, min(asked.max_results, MOST)))
        lines: list[str] = []
        size = 0
        for tool in found:
            line = msgspec.json.encode(tool.spec).decode()
            size += len(line)
            if lines and size > TEXT:
                break
            lines.append(line)
        names = tuple(tool.spec.name for tool in found[: len(lines)])
        if missing:
            lines.append(f"no such tool: {', '.join(one_line(name, 80) for name in missing[:MOST])}")
        if not found:
            lines.append(f"nothing found among {len(tools)} tools; try other words")
        label = EXTERNAL if any(name.startswith("mcp__") for name in names) else OPERATOR
        shown = ", ".join(names) or "nothing"
        return ToolOutcome(
            (Text("\n".join(lines)),), f"loaded {one_line(shown, 120)}", is_error=not found, label=label, loads=names
        )


def chosen(query: str, tools: Sequence[Tool], most: int) -> tuple[list[Tool], list[str]]:
    """The tools that `query` means, best first, and the names of a selection that are none."""
    by_name = {tool.spec.name.casefold(): tool for tool in tools}
    plain = query.strip()
    if plain.casefold().startswith("select:"):
        names = [name.strip() for name in plain[len("select:") :].split(",") if name.strip()]
        found = [by_name[name.casefold()] for name in dict.fromkeys(names) if name.casefold() in by_name]
        return found[:MOST], [name for name in names if name.casefold() not in by_name]
    if plain.casefold() in by_name:
        return [by_name[plain.casefold()]], []
    required = [word.casefold() for word in re.findall(r"\+(\S+)", plain)]
    words = [word.casefold() for word in re.findall(r"[^\W_]+", plain)]
    ranked = [(score, -number, tool) for number, tool in enumerate(tools) if (score := _score(tool, words, required))]
    ranked.sort(key=lambda each: each[:2], reverse=True)
    return [tool for _, _, tool in ranked[:most]], []


def _score(tool: Tool, words: list[str], required: list[str]) -> int:
    """How well it fits: a word of the name counts most, then a part of the name, then the description."""
    name, description = tool.spec.name.casefold(), tool.spec.description.casefold()
    if any(word not in name and word not in description for word in required):
        return 0
    parts = set(re.findall(r"[^\W_]+", name))
    told = set(re.findall(r"[^\W_]+", description))
    score = 0
    for word in words:
        if word in parts:
            score += 12
        elif word in name:
            score += 6
        elif word in told:
            score += 3
        elif len(word) > 3 and word in description:
            score += 1
    return score
