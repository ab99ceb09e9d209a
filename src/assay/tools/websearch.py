"""The WebSearch tool: the user's own search engine, asked by the JSON interface of SearXNG.

Source: SearXNG's search API, format=json: `results`, each with `title`, `url` and `content`.
"""

from typing import cast
from urllib.parse import quote

from msgspec import Struct

from assay.core.errors import InvalidArguments
from assay.core.messages import Json, Text
from assay.core.policy import EXTERNAL, Effect
from assay.core.tool import ToolContext, ToolOutcome, failed
from assay.core.web import Web, WebError, host_of
from assay.tools.bound import one_line, visible
from assay.tools.schema import read_arguments, tool_spec

BYTES = 1_000_000
RESULTS = 10
EXCERPT = 400
LONGEST = 400


class WebSearchArguments(Struct, forbid_unknown_fields=True):
    query: str
    allowed_domains: list[str] = []
    blocked_domains: list[str] = []


class WebSearchTool:
    """`template`: the address of the engine, `{query}` where the words go; `web` reaches it."""

    def __init__(self, web: Web, template: str) -> None:
        self.spec = tool_spec("WebSearch", WebSearchArguments)
        self._web = web
        self._template = template

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("WebSearch", arguments, WebSearchArguments)
        if not 2 <= len(asked.query.strip()) <= LONGEST:
            raise InvalidArguments(f"WebSearch: query: expected 2 to {LONGEST} characters")
        return (Effect("network", host_of(self._address("x"))),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context  # of the port; there is nothing to touch
        asked = read_arguments("WebSearch", arguments, WebSearchArguments)
        try:
            page = await self._web.get(self._address(asked.query.strip()), BYTES)
            if page.redirect or page.status != 200:
                raise WebError(f"the search engine answered {page.status}; does its address give JSON?")
            found = _results(page.data)
        except WebError as error:
            return failed(visible(str(error)), one_line(str(error)), EXTERNAL)
        wanted = [each for each in found if _fits(each[1], asked)]
        rows: list[str] = []
        for number, (title, url, excerpt) in enumerate(wanted[:RESULTS], 1):
            rows.append(f"{number}. {one_line(title, 200)}\n   {one_line(url, 500)}")
            if excerpt.strip():
                rows.append(f"   {one_line(excerpt, EXCERPT)}")
        text = "\n".join(rows) or "nothing found"
        display = one_line(f"WebSearch {asked.query}: {len(wanted)} results")
        return ToolOutcome((Text(text),), display, {"results": len(wanted)}, label=EXTERNAL)

    def _address(self, query: str) -> str:
        return self._template.replace("{query}", quote(query, safe=""))


def _results(data: bytes) -> list[tuple[str, str, str]]:
    """Title, address and excerpt of each result. Raises `WebError`."""
    import json

    try:
        whole: object = json.loads(data)
    except (ValueError, RecursionError):
        raise WebError("the search engine's answer is not JSON; its address may lack format=json") from None
    listed = cast("dict[str, object]", whole).get("results") if isinstance(whole, dict) else None
    if not isinstance(listed, list):
        raise WebError("the search engine's answer has no list of results")
    rows = [cast("dict[str, object]", row) for row in cast("list[object]", listed) if isinstance(row, dict)]
    return [
        (str(row.get("title") or "(no title)"), str(row.get("url")), str(row.get("content") or ""))
        for row in rows
        if str(row.get("url") or "").startswith(("http://", "https://"))
    ]


def _fits(url: str, asked: WebSearchArguments) -> bool:
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0].casefold()

    def listed(domains: list[str]) -> bool:
        names = (domain.casefold().removeprefix("*.").strip(".") for domain in domains)
        return any(host == name or host.endswith(f".{name}") for name in names if name)

    return (not asked.allowed_domains or listed(asked.allowed_domains)) and not listed(asked.blocked_domains)
