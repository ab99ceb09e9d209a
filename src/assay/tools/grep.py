"""The Grep tool: a regex in files. ripgrep where there is one, else our own walk."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from assay.core.errors import WorkspaceError
from assay.core.messages import Json, Text
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.core.workspace import Command, Workspace
from assay.tools.bound import one_line, refused, visible
from assay.tools.listed import FILE_BYTES, SECONDS, files_below, matching, outside
from assay.tools.paths import nothing, relative, tidy
from assay.tools.schema import read_arguments, tool_spec

if TYPE_CHECKING:
    from assay.tools.scan import Found

LINES = 100
"""Matching lines that are shown, unless head_limit says otherwise."""
LINES_A_FILE = 20
NAMED = 100
WIDTH = 200
MOST_AROUND = 50
CHARACTERS = 40_000
_KEPT = 400_000
"""Bytes of ripgrep's output that are read."""
_HIDDEN = ("-A", "-B", "-n", "head_limit", "offset")
"""Arguments that are understood, but would cost more in every request than they are worth."""
_NARROW = "narrow pattern, path or glob"


class GrepArguments(
    Struct,
    forbid_unknown_fields=True,
    rename={"after": "-A", "before": "-B", "around": "-C", "numbers": "-n", "ignore_case": "-i"},
):
    pattern: str
    path: str = "."
    glob: str = ""
    type: str = ""
    output_mode: Literal["content", "files_with_matches", "count"] = "files_with_matches"
    after: int = 0
    before: int = 0
    around: int = 0
    numbers: bool = True
    ignore_case: bool = False
    head_limit: int = 0
    offset: int = 0
    multiline: bool = False


class GrepTool:
    """Searches what the project does not ignore. `hides` tells which files policy keeps from the model."""

    def __init__(self, hides: Callable[[str], bool] = nothing) -> None:
        self.spec = tool_spec("Grep", GrepArguments, _HIDDEN)
        self._hides = hides

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("Grep", arguments, GrepArguments)
        return (Effect("read", tidy(asked.path or ".")),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("Grep", arguments, GrepArguments)
        workspace = context.workspace
        path = relative(tidy(asked.path or "."), workspace.root)
        if outside(path):
            return refused(f"{path}: Grep looks only into the project; use Bash for other places")
        flags = (re.IGNORECASE if asked.ignore_case else 0) | (re.DOTALL | re.MULTILINE if asked.multiline else 0)
        try:
            regex = re.compile(asked.pattern, flags)
        except (re.error, OverflowError, RecursionError) as error:
            return refused(f"pattern: {error}; escape ( [ {{ . * + ? | with a backslash to search for them")
        try:
            found = await _ripgrep(workspace, asked, path)
            if found is None:
                from assay.tools.scan import scan

                files = matching(await files_below(workspace, path), asked.glob, asked.type)
                files = [file for file in files if not self._hides(file)]
                found = await scan(workspace, files, regex, across=asked.multiline)
        except WorkspaceError as error:
            return refused(str(error))
        found.lines = {file: lines for file, lines in found.lines.items() if not self._hides(file)}
        match asked.output_mode:
            case "content":
                rows = _Page(asked, workspace).rows(found)
            case "count":
                rows = _entries([f"{visible(file)}:{len(lines)}" for file, lines in found.lines.items()], asked)
            case _:
                rows = _entries([visible(file) for file in found.lines], asked)
        return _told(asked, found, rows)


async def _ripgrep(workspace: Workspace, asked: GrepArguments, path: str) -> "Found | None":
    """What ripgrep finds; None when there is none, or it does not take the pattern (look-around, back-references)."""
    from shutil import which

    from assay.tools.scan import Found

    program = which("rg")
    if not program:
        return None
    argv = [program, "--no-config", "--color=never", "--no-heading", "--line-number", "--with-filename", "--null"]
    argv += ["--sort=path", "--hidden", "--no-require-git", f"--max-filesize={FILE_BYTES}"]
    argv += [f"--max-columns={WIDTH * 2}", "--max-columns-preview", "--max-count=1000"]
    argv += ["--ignore-case"] if asked.ignore_case else []
    argv += ["--multiline", "--multiline-dotall"] if asked.multiline else []
    argv += [f"--glob={asked.glob}"] if asked.glob else []
    argv += [f"--type={asked.type}"] if asked.type else []
    argv += ["--glob=!.git", "--regexp", asked.pattern, "--", "./" + path]
    result = await workspace.run(Command(tuple(argv), timeout=SECONDS, limit=_KEPT, read_only=True))
    if not result.timed_out and result.exit_code not in (0, 1):
        return None
    note = f"stopped after {SECONDS:.0f} s; {_NARROW}" if result.timed_out else ""
    found = Found(result.output_bytes > _KEPT, note)
    for row in result.output.split("\n"):
        name, null, rest = row.partition("\0")
        number, colon, text = rest.partition(":")
        if null and colon and number.isdigit():
            file = name.removeprefix("./").removeprefix("./")
            found.lines.setdefault(file, []).append((int(number), text.rstrip("\r")))
    return found


def _entries(rows: list[str], asked: GrepArguments) -> list[str]:
    """One line for a file, of those asked for."""
    limit = min(asked.head_limit, 1_000) if asked.head_limit > 0 else NAMED
    start = max(asked.offset, 0)
    left = len(rows) - start - limit
    return rows[start : start + limit] + ([f"[… {left} more; {_NARROW}]"] if left > 0 else [])


class _Page:
    """The matching lines that are shown."""

    def __init__(self, asked: GrepArguments, workspace: Workspace) -> None:
        self._asked = asked
        self._workspace = workspace
        self._before = min(max(asked.before, asked.around, 0), MOST_AROUND)
        self._after = min(max(asked.after, asked.around, 0), MOST_AROUND)

    def rows(self, found: "Found") -> list[str]:
        asked = self._asked
        skip = max(asked.offset, 0)
        left_lines = min(asked.head_limit, 1_000) if asked.head_limit > 0 else LINES
        a_file = left_lines if asked.head_limit > 0 else LINES_A_FILE
        left_characters = CHARACTERS
        rows: list[str] = []
        counts: list[str] = []
        for file, lines in found.lines.items():
            skipped, skip = min(skip, len(lines)), max(skip - len(lines), 0)
            lines = lines[skipped:]
            if not lines:
                continue
            shown = lines[: min(a_file, left_lines)] if left_characters > 0 else []
            left_lines -= len(shown)
            if not shown:
                counts.append(f"{visible(file)} ({len(lines)})")
                continue
            rows.append(visible(file))
            for row in self._around(file, shown):
                left_characters -= len(row) + 1
                if left_characters < 0:
                    rows.append(f"[the rest of this file is too long to show; {_NARROW}]")
                    break
                rows.append(row)
            if len(lines) > len(shown):
                rows.append(f"[… {len(lines) - len(shown)} more in this file]")
        if counts:
            more = f", … {len(counts) - 20} more files" if len(counts) > 20 else ""
            rows.append(f"[also in: {', '.join(counts[:20])}{more}; {_NARROW}]")
        return rows

    def _around(self, file: str, shown: list[tuple[int, str]]) -> list[str]:
        """`shown` with the lines around them: `N:text` for a match, `N-text` beside it, `--` for a gap."""
        texts = dict(shown)
        if not self._before and not self._after:
            return [self._row(number, ":", text) for number, text in shown]
        lines = self._lines(file)
        wanted = {
            near
            for number in texts
            for near in range(max(number - self._before, 1), min(number + self._after, len(lines)) + 1)
        }
        rows: list[str] = []
        last = 0
        for number in sorted(wanted | set(texts)):
            if last and number > last + 1:
                rows.append("--")
            last = number
            match = texts.get(number)
            rows.append(
                self._row(number, ":", match) if match is not None else self._row(number, "-", lines[number - 1])
            )
        return rows

    def _lines(self, file: str) -> list[str]:
        from assay.tools.textfile import decode

        try:
            text = decode(self._workspace.read_file(file, FILE_BYTES).data)
        except WorkspaceError:
            return []
        return text.view.removesuffix("\n").split("\n") if text else []

    def _row(self, number: int, mark: str, text: str) -> str:
        narrow = visible(text if len(text) <= WIDTH else text[:WIDTH] + "…")
        return f"{number}{mark}{narrow}" if self._asked.numbers else narrow


def _told(asked: GrepArguments, found: "Found", rows: list[str]) -> ToolOutcome:
    if found.note:
        rows.append(f"[{found.note}]")
    elif found.partial:
        rows.append(f"[there is more than was looked at; {_NARROW}]")
    total = sum(len(lines) for lines in found.lines.values())
    display = one_line(f"Grep {asked.pattern}: {total} lines in {len(found.lines)} files")
    text = "\n".join(rows) or ("nothing there; the offset is behind the end" if found.lines else "no matches")
    return ToolOutcome((Text(text),), display, {"mode": asked.output_mode, "files": len(found.lines), "lines": total})
