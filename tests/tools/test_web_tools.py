from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import InvalidArguments
from assay.core.messages import Image
from assay.core.policy import EXTERNAL, Effect
from assay.core.tool import ToolContext
from assay.core.web import Page, WebError
from assay.testing.conformance.tool import ToolConformance
from assay.tools.markdown import to_markdown
from assay.tools.notebookedit import NotebookEditTool
from assay.tools.relevant import relevant
from assay.tools.todo import TodoTool
from assay.tools.webfetch import SHOWN, WebFetchTool
from assay.tools.websearch import RESULTS, WebSearchTool

from .double import Bench, text_of

URL = "https://docs.example/guide"


class OneWeb:
    """Has one page, or none."""

    def __init__(self, data: bytes | str, kind: str = "text/html", **more: object) -> None:
        self.asked: list[str] = []
        data = data if isinstance(data, bytes) else data.encode()
        self._page = Page(URL, int(more.pop("status", 200)), kind, data, **more)

    async def get(self, url: str, limit: int) -> Page:
        self.asked.append(url)
        if "gone" in url:
            raise WebError("docs.example: its name can't be resolved")
        return self._page


async def _fetch(bench: Bench, web: OneWeb, **more: object) -> tuple[str, dict[str, object]]:
    outcome = await bench.call(WebFetchTool(web), url=URL, **more)
    assert outcome.label == EXTERNAL
    assert not outcome.is_error, text_of(outcome)
    return text_of(outcome), outcome.debug


async def test_a_page_becomes_text(bench: Bench) -> None:
    page = "<title> The\nGuide </title><script>x()</script><h1>Start</h1><p>Read <a href='/next'>on</a>.\x1b[2J</p>"
    text, debug = await _fetch(bench, OneWeb(page), prompt="what")
    assert text == f"{URL} — The Guide\n\n# Start\n\nRead [on](https://docs.example/next).\\x1b[2J"
    assert debug == {"status": 200, "bytes": len(page), "url": URL}


@pytest.mark.parametrize(
    ("data", "kind", "more", "words"),
    [
        ('{"a": 1}', "application/json", {}, '{"a": 1}'),
        ("# plain", "", {}, "# plain"),
        ("<!DOCTYPE html><p>no kind", "", {}, "\n\nno kind"),
        (b"caf\xe9", "text/plain", {"charset": "latin-1"}, "café"),
        (b'<meta charset="koi8-r"><p>\xc4\xc1', "text/html", {}, "да"),
        (b"caf\xe9", "text/plain", {"charset": "no-such"}, "caf\ufffd"),
        ("", "text/html", {}, "(no text)"),
        ("part", "text/plain", {"cut": True}, "[only the first part of the page was taken]"),
    ],
)
async def test_kinds_of_pages(bench: Bench, data: bytes | str, kind: str, more: dict, words: str) -> None:
    assert words in (await _fetch(bench, OneWeb(data, kind, **more)))[0]


async def test_a_long_page_is_shown_by_what_is_looked_for(bench: Bench) -> None:
    parts = [f"<p>paragraph {number} {'filler ' * 30}" for number in range(400)]
    parts[300] = "<p>The frobnicator takes a timeout in seconds."
    text, debug = await _fetch(bench, OneWeb("".join(parts)), prompt="What is the timeout of the frobnicator?")
    assert "The frobnicator takes a timeout" in text
    assert "paragraph 0 " in text
    assert len(text) < SHOWN + 1_000
    kept = Path(str(debug["spill"])).read_text()
    assert "paragraph 399" in kept
    assert f"all of it: {debug['spill']}" in text


async def test_what_is_no_page_is_told(bench: Bench) -> None:
    away = OneWeb("", redirect="https://evil.test/\x1b[2J")
    assert "https://evil.test/\\x1b[2J\nFetch that" in (await _fetch(bench, away))[0]
    for web, words in (
        (OneWeb("<p>not here", status=404), "answered 404\nnot here"),
        (OneWeb(b"%PDF-1.4\0", "application/pdf"), "PDF document"),
        (OneWeb(b"\xff\xfe\xfa" * 99, "application/x-thing"), "binary data"),
    ):
        outcome = await bench.call(WebFetchTool(web), url=URL)
        assert outcome.is_error
        assert words in text_of(outcome)
        assert outcome.label == EXTERNAL
    gone = await bench.call(WebFetchTool(away), url=f"{URL}/gone")
    assert gone.is_error
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)
    (image,) = (await bench.call(WebFetchTool(OneWeb(png, "image/png")), url=URL)).content
    assert isinstance(image, Image)


def test_the_effect_is_the_host() -> None:
    tool = WebFetchTool(OneWeb(""))
    assert tool.effects({"url": "https://Docs.example/x", "prompt": "y"}) == (Effect("network", "docs.example"),)
    with pytest.raises(InvalidArguments, match="WebFetch: url: 'file:///etc/passwd' is not a URL"):
        tool.effects({"url": "file:///etc/passwd", "prompt": "x"})


FOUND = {
    "results": [
        {"title": "One\nline", "url": "https://docs.example/1", "content": "about \x1b[2J it"},
        {"title": "Two", "url": "https://sub.other.example/2", "content": ""},
        {"title": "Bad", "url": "javascript:alert(1)"},
        "nonsense",
    ]
}


def _search(data: object = FOUND, **more: object) -> WebSearchTool:
    return WebSearchTool(OneWeb(json.dumps(data), **more), "https://find.example/search?q={query}&format=json")


async def test_a_search_gives_titles_addresses_and_excerpts(bench: Bench) -> None:
    tool = _search()
    assert tool.effects({"query": "a b"}) == (Effect("network", "find.example"),)
    outcome = await bench.call(tool, query="what & that")
    assert text_of(outcome) == (
        "1. One line\n   https://docs.example/1\n   about \\x1b[2J it\n2. Two\n   https://sub.other.example/2"
    )
    assert outcome.label == EXTERNAL
    assert tool._web.asked == ["https://find.example/search?q=what%20%26%20that&format=json"]
    many = {"results": [{"title": str(n), "url": f"https://a.example/{n}"} for n in range(50)]}
    assert text_of(await bench.call(_search(many), query="xx")).count("https://") == RESULTS


@pytest.mark.parametrize(
    ("allowed", "blocked", "left"),
    [
        (["docs.example"], [], ["One"]),
        (["other.example"], [], ["Two"]),
        (["*.other.example"], [], ["Two"]),
        ([], ["other.example"], ["One"]),
        (["her.example"], [], []),
    ],
)
async def test_domains_narrow(bench: Bench, allowed: list[str], blocked: list[str], left: list[str]) -> None:
    outcome = await bench.call(_search(), query="xx", allowed_domains=allowed, blocked_domains=blocked)
    assert [word for word in ("One", "Two") if word in text_of(outcome)] == left


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        (_search([]), "no list of results"),
        (WebSearchTool(OneWeb("<html>"), "https://find.example/?q={query}"), "not JSON"),
        (_search(status=429), "answered 429"),
        (WebSearchTool(OneWeb(""), "https://find.example/gone?q={query}"), "can't be resolved"),
    ],
)
async def test_a_search_that_fails_is_told(bench: Bench, tool: WebSearchTool, words: str) -> None:
    outcome = await bench.call(tool, query="xx")
    assert outcome.is_error
    assert words in text_of(outcome)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h2>A</h2>b<br>c", "## A\n\nb\nc"),
        ("<ul><li>one<li>two<ol><li>x<li>y</ol></ul>end", "- one\n- two\n  1. x\n  2. y\n\nend"),
        ("<pre>a\n  b</pre>", "```\na\n  b\n```"),
        ("<table><tr><th>k<th>v</tr><tr><td>1<td>2</tr></table>", "k | v\n1 | 2"),
        ("<p>x <b>y</b> <code>z</code> &amp; &lt;", "x **y** `z` & <"),
        ("<style>a</style><svg><a>b</a></svg>c", "c"),
        ("<a href='javascript:x()'>a</a> <a href='#b'>b</a>", "a [b](https://docs.example/guide#b)"),
        ("<a href='http://[bad'>a</a>", "a"),
        ("<img alt='a  cat' src=x>", "![a cat]"),
        ("<script><script>a</script>b", "b"),
    ],
)
def test_markdown(html: str, text: str) -> None:
    assert to_markdown(html, URL)[1] == text


def test_the_main_part_alone_where_there_is_one() -> None:
    shell = "<nav>menu</nav>"
    assert to_markdown(f"{shell}<main><p>{'words ' * 99}</main>", URL)[1].startswith("words")
    assert to_markdown(f"{shell}<main></main>", URL)[1] == "menu"


@given(st.text(alphabet="<>/!-abpre lihmand1'\"=&;#\n", max_size=200))
def test_any_html_becomes_text(html: str) -> None:
    title, text = to_markdown(html, URL)
    assert "\n\n\n" not in text
    assert "\n" not in title


@given(
    st.lists(st.text(alphabet="abc de", max_size=60), max_size=30).map("\n\n".join),
    st.text(alphabet="abc de", max_size=20),
    st.integers(80, 400),
)
def test_what_is_shown_of_a_long_text_is_bounded_and_its_own(text: str, wanted: str, limit: int) -> None:
    shown = relevant(text, wanted, limit)
    if len(text) <= limit:
        assert shown == text
    else:
        assert len(shown) <= limit * 2
        assert all(part == "[…]" or part in text for part in shown.split("\n\n"))


async def test_a_list_of_steps_is_kept(bench: Bench) -> None:
    todos = [
        {"content": "Look", "status": "completed", "activeForm": "Looking"},
        {"content": "Mend", "status": "in_progress", "activeForm": "Mending"},
        {"content": "Test", "status": "pending"},
    ]
    outcome = await bench.call(TodoTool(), todos=todos)
    assert text_of(outcome) == "Kept: 1 of 3 done."
    assert outcome.display == "todos: 1 of 3 done: Mending"
    assert outcome.debug == {"todos": [*todos[:2], todos[2] | {"activeForm": ""}]}
    assert text_of(await bench.call(TodoTool(), todos=[])) == "Kept: the list is empty."


class TestTodo(ToolConformance):
    @pytest.fixture
    def tool(self) -> TodoTool:
        return TodoTool()

    @pytest.fixture
    def context(self, bench: Bench) -> ToolContext:
        return ToolContext(bench.workspace, {})

    @pytest.fixture
    def good(self) -> dict[str, object]:
        return {"todos": [{"content": "a", "status": "pending", "activeForm": "b"}]}

    @pytest.fixture
    def nonsense(self) -> list[dict[str, object]]:
        one = {"content": "a", "status": "pending", "activeForm": "b"}
        return [
            {},
            {"todos": "x"},
            {"todos": [one | {"status": "done"}]},
            {"todos": [one | {"content": " "}]},
            {"todos": [one] * 101},
            {"todos": [one | {"content": "x" * 2_000}]},
        ]

    async def test_trouble_is_told_and_not_raised(self, tool: TodoTool, context: ToolContext) -> None:
        """It touches nothing, so nothing can go wrong that its arguments did not show."""
        outcome = await tool.run({"todos": []}, context)
        assert not outcome.is_error


class TestWebFetch(ToolConformance):
    @pytest.fixture
    def tool(self) -> WebFetchTool:
        return WebFetchTool(OneWeb("<p>hello</p>" * 9_999))

    @pytest.fixture
    def context(self, bench: Bench) -> ToolContext:
        return ToolContext(bench.workspace, {}, bench.spill)

    @pytest.fixture
    def good(self) -> dict[str, object]:
        return {"url": URL, "prompt": "x"}

    @pytest.fixture
    def troubled(self) -> dict[str, object]:
        return {"url": f"{URL}/gone", "prompt": "x"}

    @pytest.fixture
    def nonsense(self) -> list[dict[str, object]]:
        return [{}, {"url": 1}, {"url": "x"}, {"url": "https://a@b.example/"}, {"url": URL, "method": "POST"}]


class TestWebSearch(TestWebFetch):
    @pytest.fixture
    def tool(self) -> WebSearchTool:
        class Sometimes(OneWeb):
            async def get(self, url: str, limit: int) -> Page:
                return await super().get(url if "trouble" not in url else "gone", limit)

        return WebSearchTool(Sometimes(json.dumps(FOUND)), "https://find.example/?q={query}")

    @pytest.fixture
    def good(self) -> dict[str, object]:
        return {"query": "words"}

    @pytest.fixture
    def troubled(self) -> dict[str, object]:
        return {"query": "trouble"}

    @pytest.fixture
    def nonsense(self) -> list[dict[str, object]]:
        return [{}, {"query": "x"}, {"query": "x" * 500}, {"query": "words", "allowed_domains": "a.example"}]


class TestNotebookEdit(ToolConformance):
    @pytest.fixture
    def tool(self) -> NotebookEditTool:
        return NotebookEditTool()

    @pytest.fixture
    def context(self, bench: Bench) -> ToolContext:
        bench.put("n.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": "a"}]}))
        digest = bench.workspace.read_file("n.ipynb").stamp.digest
        return ToolContext(bench.workspace, {"n.ipynb": digest})

    @pytest.fixture
    def good(self) -> dict[str, object]:
        return {"notebook_path": "n.ipynb", "cell_id": "cell-0", "new_source": "b"}

    @pytest.fixture
    def troubled(self) -> dict[str, object]:
        return {"notebook_path": "gone.ipynb", "cell_id": "cell-0", "new_source": "b"}

    @pytest.fixture
    def nonsense(self) -> list[dict[str, object]]:
        return [
            {},
            {"notebook_path": "n.ipynb", "new_source": "b"},
            {"notebook_path": "", "cell_id": "x", "new_source": "b"},
            {"notebook_path": "n.ipynb", "cell_id": "x", "new_source": "b", "edit_mode": "merge"},
        ]
