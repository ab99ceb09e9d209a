"""The Glob tool: names of files."""

from collections.abc import Callable

from msgspec import Struct

from assay.core.errors import WorkspaceError
from assay.core.messages import Json, Text
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.bound import one_line, refused, visible
from assay.tools.listed import LISTED, files_below, outside
from assay.tools.paths import nothing, relative, tidy
from assay.tools.schema import read_arguments, tool_spec

NAMED = 100


class GlobArguments(Struct, forbid_unknown_fields=True):
    pattern: str
    path: str = "."


class GlobTool:
    """Names what the project does not ignore. `hides` tells which files policy keeps from the model."""

    def __init__(self, hides: Callable[[str], bool] = nothing) -> None:
        self.spec = tool_spec("Glob", GlobArguments)
        self._hides = hides

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("Glob", arguments, GlobArguments)
        return (Effect("read", tidy(asked.path or ".")),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("Glob", arguments, GlobArguments)
        workspace = context.workspace
        path = relative(tidy(asked.path or "."), workspace.root)
        pattern = relative(asked.pattern, workspace.root).removeprefix("./")
        if outside(path) or outside(pattern):
            return refused(f"{asked.path}: Glob looks only into the project; use Bash for other places")
        try:
            files = await files_below(workspace, path)
        except WorkspaceError as error:
            return refused(str(error))
        partial = len(files) >= LISTED
        below = "" if path == "." or pattern.startswith(f"{path}/") else f"{path}/"
        fits = _fitting(pattern)
        found = [file for file in files if not self._hides(file) and fits(file.removeprefix(below))]
        rows = [visible(file) for file in found[:NAMED]]
        if len(found) > NAMED:
            rows.append(f"[… {len(found) - NAMED} more; narrow pattern or path]")
        if partial:
            rows.append(f"[only the first {LISTED} files of the project were looked at]")
        display = one_line(f"Glob {asked.pattern}: {len(found)} files")
        return ToolOutcome((Text("\n".join(rows) or "no such files"),), display, {"files": len(found)})


def _fitting(pattern: str) -> Callable[[str], object]:
    from assay.tools.patterns import glob_regex

    return glob_regex(pattern).fullmatch if pattern else bool
