"""Which tools a run offers, by the names that people type: ours, or those of the `claude` command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from assay.core.tool import Tool
from assay.tools.paths import nothing

NAMES = ("read", "edit", "write", "shell", "search", "finish")
_OTHER_NAMES = {
    "bash": "shell",
    "grep": "search",
    "glob": "search",
    "ls": "read",
    "multiedit": "edit",
}


def tool_named(name: str) -> str:
    """Our name for `Bash`, `shell`, `Read`, ...; empty when it is none of the six."""
    plain = name.strip().lower()
    plain = _OTHER_NAMES.get(plain, plain)
    return plain if plain in NAMES else ""


def toolbox(
    tools: Sequence[str] | None = None,
    disallowed: Sequence[str] = (),
    *,
    hides: Callable[[str], bool] = nothing,
    read_only: bool = False,
) -> tuple[Tool, ...]:
    """The tools of a run, in an order that never changes.

    `tools`: only these (`--tools`); None or `default` for all. `disallowed`: bare names to leave out
    (`--disallowedTools`); a rule with a pattern, as `Bash(rm:*)`, is policy's and leaves the tool in. Names that are
    none of ours are passed over. `finish` comes with any other tool unless disallowed. `hides`: files that policy
    keeps from the model. `read_only`: plan mode, commands can't write, and edit and write are not offered.
    """
    wanted = set(NAMES) if tools is None or "default" in tools else {tool_named(name) for name in tools} - {""}
    if read_only:
        wanted -= {"edit", "write"}
    if wanted:
        wanted.add("finish")
    wanted -= {tool_named(name) for name in disallowed}
    if wanted == {"finish"} and "finish" not in {tool_named(name) for name in tools or ()}:
        wanted.clear()
    return tuple(_made(name, hides, read_only) for name in NAMES if name in wanted)


def _made(name: str, hides: Callable[[str], bool], read_only: bool) -> Tool:
    from assay.tools.edit import EditTool
    from assay.tools.finish import FinishTool
    from assay.tools.read import ReadTool
    from assay.tools.search import SearchTool
    from assay.tools.shell import ShellTool
    from assay.tools.write import WriteTool

    match name:
        case "read":
            return ReadTool(hides)
        case "edit":
            return EditTool()
        case "write":
            return WriteTool()
        case "shell":
            return ShellTool(read_only)
        case "search":
            return SearchTool(hides)
        case _:
            return FinishTool()
