"""The search tool: a regex in files, or names of files. ripgrep where there is one, else our own walk."""

import re
from collections.abc import Callable

from msgspec import Struct

from assay.core.errors import WorkspaceError
from assay.core.messages import Json, Text
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.core.workspace import Command, Workspace
from assay.tools.bound import one_line, refused, visible
from assay.tools.grep import FILE_BYTES, SECONDS, Found, grep
from assay.tools.paths import nothing, relative, tidy
from assay.tools.schema import read_arguments, tool_spec

LINES = 100
"""Matching lines that are shown."""
LINES_A_FILE = 20
WIDTH = 200
NAMED = 200
LISTED = 20_000
_KEPT = 400_000
"""Bytes of ripgrep's output that are read."""


class SearchArguments(Struct, forbid_unknown_fields=True):
    pattern: str = ""
    path: str = "."
    glob: str = ""


class SearchTool:
    """Searches what the project does not ignore. `hides` tells which files policy keeps from the model."""

    def __init__(self, hides: Callable[[str], bool] = nothing) -> None:
        self.spec = tool_spec("search", SearchArguments)
        self._hides = hides

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("search", arguments, SearchArguments)
        return (Effect("read", tidy(asked.path or ".")),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("search", arguments, SearchArguments)
        workspace = context.workspace
        path = relative(tidy(asked.path or "."), workspace.root)
        if path.startswith(("/", "../")) or path == "..":
            return refused(f"{path}: search looks only into the project; use shell for other places")
        try:
            if not asked.pattern:
                files = await _files(workspace, path, asked.glob)
                return _names([file for file in files if not self._hides(file)], len(files) >= LISTED)
            try:
                regex = re.compile(asked.pattern)
            except (re.error, OverflowError, RecursionError) as error:
                return refused(f"pattern: {error}; escape ( [ {{ . * + ? | with a backslash to search for them")
            found = await _ripgrep(workspace, asked, path)
            if found is None:
                files = await _files(workspace, path, asked.glob)
                found = await grep(workspace, [file for file in files if not self._hides(file)], regex)
        except WorkspaceError as error:
            return refused(str(error))
        found.lines = {file: lines for file, lines in found.lines.items() if not self._hides(file)}
        return _matches(asked.pattern, found)


async def _files(workspace: Workspace, path: str, glob: str) -> list[str]:
    """Files at or below `path` that match `glob`. Raises `FileMissing` when there is nothing at `path`."""
    files = await workspace.list_files(LISTED)
    if path != ".":
        files = [file for file in files if file == path or file.startswith(path + "/")]
        if not files:
            # An ignored file that is asked for by name is searched all the same.
            workspace.read_file(path, FILE_BYTES)
            files = [path]
    if glob:
        from assay.tools.glob import glob_regex

        matches = glob_regex(glob).fullmatch
        files = [file for file in files if matches(file)]
    return files


async def _ripgrep(workspace: Workspace, asked: SearchArguments, path: str) -> Found | None:
    """What ripgrep finds; None when there is none, or it does not take the pattern (look-around, back-references)."""
    from shutil import which

    program = which("rg")
    if not program:
        return None
    argv = [program, "--no-config", "--color=never", "--no-heading", "--line-number", "--with-filename", "--null"]
    argv += ["--sort=path", "--hidden", "--no-require-git", f"--max-filesize={FILE_BYTES}"]
    argv += [f"--max-columns={WIDTH * 2}", "--max-columns-preview", "--max-count=1000"]
    if asked.glob:
        argv.append(f"--glob={asked.glob}")
    argv += ["--glob=!.git", "--regexp", asked.pattern, "--", "./" + path]
    result = await workspace.run(Command(tuple(argv), timeout=SECONDS, limit=_KEPT, read_only=True))
    if not result.timed_out and result.exit_code not in (0, 1):
        return None
    note = f"stopped after {SECONDS:.0f} s; narrow pattern, path or glob" if result.timed_out else ""
    found = Found(result.output_bytes > _KEPT, note)
    for row in result.output.split("\n"):
        name, null, rest = row.partition("\0")
        number, colon, text = rest.partition(":")
        if null and colon and number.isdigit():
            file = name.removeprefix("./").removeprefix("./")
            found.lines.setdefault(file, []).append((int(number), text.rstrip("\r")))
    return found


def _names(files: list[str], partial: bool) -> ToolOutcome:
    rows = [visible(file) for file in files[:NAMED]]
    if len(files) > NAMED:
        rows.append(f"[… {len(files) - NAMED} more; narrow path or glob]")
    if partial:
        rows.append(f"[only the first {LISTED} files of the project were looked at]")
    return ToolOutcome((Text("\n".join(rows) or "no such files"),), f"{len(files)} files")


def _matches(pattern: str, found: Found) -> ToolOutcome:
    rows: list[str] = []
    counts: list[str] = []
    room = LINES
    for file, lines in found.lines.items():
        shown = lines[: min(LINES_A_FILE, room)]
        room -= len(shown)
        left = len(lines) - len(shown)
        if not shown:
            counts.append(f"{visible(file)} ({left})")
            continue
        rows.append(visible(file))
        rows += [f"{number}:{_narrow(text)}" for number, text in shown]
        if left:
            rows.append(f"[… {left} more in this file]")
    if counts:
        more = f", … {len(counts) - 20} more files" if len(counts) > 20 else ""
        rows.append(f"[also in: {', '.join(counts[:20])}{more}; narrow pattern, path or glob]")
    if found.note:
        rows.append(f"[{found.note}]")
    elif found.partial:
        rows.append("[there is more than was looked at; narrow pattern, path or glob]")
    total = sum(len(lines) for lines in found.lines.values())
    display = one_line(f"search {pattern}: {total} lines in {len(found.lines)} files")
    return ToolOutcome((Text("\n".join(rows) or "no matches"),), display)


def _narrow(text: str) -> str:
    return visible(text if len(text) <= WIDTH else text[:WIDTH] + "…")
