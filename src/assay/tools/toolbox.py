"""Which tools a run offers, by the names that people type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from assay.core.tool import Tool
from assay.core.web import Web
from assay.tools.bash import Background, BashTool, never
from assay.tools.paths import nothing

OFFERED = ("Bash", "Read", "Edit", "Write", "Glob", "Grep", "TodoWrite", "finish")
DEFERRED = ("NotebookEdit", "WebFetch", "WebSearch")
NAMES = (*OFFERED, *DEFERRED)
_OTHER_NAMES = {
    "shell": ("Bash",),
    "search": ("Glob", "Grep"),
    "ls": ("Read",),
    "multiedit": ("Edit",),
}


class Toolbox(NamedTuple):
    """Tools in an order that never changes: those of every request, and those that are loaded when asked for."""

    tools: tuple[Tool, ...]
    deferred: tuple[Tool, ...] = ()


class _Means(NamedTuple):
    hides: Callable[[str], bool]
    read_only: Callable[[], bool]
    background: Background | None
    web: Web | None
    search: tuple[Web, str] | None


def tools_named(name: str) -> tuple[str, ...]:
    """The tools that somebody means by `Bash`, `bash`, `shell`, `search`, ...; empty when it is none of ours."""
    plain = name.strip().lower()
    return _OTHER_NAMES.get(plain) or tuple(own for own in NAMES if own.lower() == plain)


def toolbox(
    tools: Sequence[str] | None = None,
    disallowed: Sequence[str] = (),
    *,
    hides: Callable[[str], bool] = nothing,
    read_only: Callable[[], bool] = never,
    background: Background | None = None,
    web: Web | None = None,
    search: tuple[Web, str] | None = None,
) -> Toolbox:
    """The tools of a run.

    `tools`: only these (`--tools`); None or `default` for all. `disallowed`: bare names to leave out
    (`--disallowedTools`); a rule with a pattern, as `Bash(rm:*)`, is policy's and leaves the tool in. Names that are
    none of ours are passed over. `finish` comes with any other tool unless disallowed. Deferred tools that `tools`
    names are shown from the start.

    `hides`: files that policy keeps from the model. `read_only`: asked before each command, which can't write while it
    says so (plan mode). `background`: starts commands that go on after their call. `web`: reaches pages; `search`: what
    reaches the search engine, and its address with `{query}` in it. Without these the tools are not there.
    """
    means = _Means(hides, read_only, background, web, search)
    wanted = set(NAMES) if tools is None or "default" in tools else _all_named(tools)
    wanted -= {name for name, there in (("WebFetch", web), ("WebSearch", search)) if there is None}
    if wanted:
        wanted.add("finish")
    wanted -= _all_named(disallowed)
    if wanted == {"finish"} and "finish" not in _all_named(tools or ()):
        wanted.clear()
    shown = {*OFFERED, *(_all_named(tools) if tools else ())}
    made = [_made(name, means) for name in NAMES if name in wanted]
    return Toolbox(
        tuple(tool for tool in made if tool.spec.name in shown),
        tuple(tool for tool in made if tool.spec.name not in shown),
    )


def _all_named(names: Sequence[str]) -> set[str]:
    return {own for name in names for own in tools_named(name)}


def _made(name: str, means: _Means) -> Tool:
    from assay.tools.edit import EditTool
    from assay.tools.finish import FinishTool
    from assay.tools.glob import GlobTool
    from assay.tools.grep import GrepTool
    from assay.tools.notebookedit import NotebookEditTool
    from assay.tools.read import ReadTool
    from assay.tools.todo import TodoTool
    from assay.tools.webfetch import WebFetchTool
    from assay.tools.websearch import WebSearchTool
    from assay.tools.write import WriteTool

    match name:
        case "Bash":
            return BashTool(means.read_only, means.background)
        case "Read":
            return ReadTool(means.hides)
        case "Edit":
            return EditTool()
        case "Write":
            return WriteTool()
        case "Glob":
            return GlobTool(means.hides)
        case "Grep":
            return GrepTool(means.hides)
        case "TodoWrite":
            return TodoTool()
        case "NotebookEdit":
            return NotebookEditTool()
        case "WebFetch" if means.web is not None:
            return WebFetchTool(means.web)
        case "WebSearch" if means.search is not None:
            return WebSearchTool(*means.search)
        case _:
            return FinishTool()
