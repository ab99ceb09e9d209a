"""The Read tool: text with line numbers, images as images, PDF by pages, notebooks by cells, directories as listings,
anything else by its kind."""

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.core.errors import FileMissing, NotAFile, TooLarge, WorkspaceError
from assay.core.messages import Image, Json, Text
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.core.workspace import FileContent, Workspace
from assay.tools.bound import has_hidden, one_line, refused, visible
from assay.tools.paths import nothing, relative, tidy
from assay.tools.schema import read_arguments, tool_spec

if TYPE_CHECKING:
    from assay.tools.textfile import TextFile

LINES = 2_000
CHARACTERS = 50_000
WIDTH = 2_000
ENTRIES = 300
FILE_BYTES = 20_000_000
IMAGE_BYTES = 3_750_000
"""Base64 makes it a third longer, and the common limit of providers is 5 MB."""


class ReadArguments(Struct, forbid_unknown_fields=True):
    file_path: str
    offset: int = 1
    limit: int = LINES
    pages: str = ""


class ReadTool:
    """Reads files and lists directories. `hides` tells which files policy keeps from the model; they are not listed."""

    def __init__(self, hides: Callable[[str], bool] = nothing) -> None:
        self.spec = tool_spec("Read", ReadArguments)
        self._hides = hides

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("Read", arguments, ReadArguments)
        if asked.pages:
            from assay.tools.pdf import page_range

            page_range(asked.pages)
        return tuple(Effect("read", path) for path in _paths(asked))

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("Read", arguments, ReadArguments)
        paths = [relative(path, context.workspace.root) for path in _paths(asked)]
        if len(paths) == 1:
            return await self._one(paths[0], asked, CHARACTERS, context)
        parts: list[Text | Image] = []
        seen: dict[str, str] = {}
        errors = 0
        for path in paths:
            outcome = await self._one(path, asked, CHARACTERS // len(paths), context)
            parts += (Text(f"== {visible(path)}"), *outcome.content)
            seen |= outcome.seen
            errors += outcome.is_error
        return ToolOutcome(tuple(parts), f"read {len(paths)} files", is_error=errors == len(paths), seen=seen)

    async def _one(self, path: str, asked: ReadArguments, room: int, context: ToolContext) -> ToolOutcome:
        workspace = context.workspace
        if path == ".":
            return await self._listing(path, workspace)
        try:
            content = workspace.read_file(path, FILE_BYTES)
        except NotAFile as error:
            return await self._listing(path, workspace, str(error))
        except FileMissing:
            return refused(f"{path}: no such file.{await self._elsewhere(path, workspace)}")
        except TooLarge as error:
            return refused(f"{error}. Take a part of it with Bash: sed -n '1,200p' or tail -c 5000.")
        except WorkspaceError as error:
            return refused(str(error))
        if content.data.startswith(b"%PDF"):
            return await _document(path, content, asked, room, workspace)
        if path.endswith(".ipynb") and (outcome := _notebook(path, content, asked, room)):
            return outcome
        return _shown(path, content, asked, room)

    async def _listing(self, path: str, workspace: Workspace, refusal: str = "") -> ToolOutcome:
        """The entries of a directory, known from the files that the project does not ignore."""
        prefix = "" if path == "." else path + "/"
        entries: dict[str, int] = {}
        for file in await workspace.list_files():
            if file.startswith(prefix) and not self._hides(file):
                name, slash, _ = file[len(prefix) :].partition("/")
                entries[name + slash] = entries.get(name + slash, 0) + 1
        if not entries and refusal:
            return refused(f"{refusal} (nothing listed in it either; ignored files are seen by Bash: ls)")
        rows = [
            f"{visible(name)} ({count})" if name.endswith("/") else visible(name) for name, count in entries.items()
        ]
        if len(rows) > ENTRIES:
            rows[ENTRIES:] = [f"[… {len(rows) - ENTRIES} more; look into a directory, or use Glob]"]
        return ToolOutcome((Text("\n".join(rows) or "(no files)"),), one_line(f"list {path}: {len(entries)} entries"))

    async def _elsewhere(self, path: str, workspace: Workspace) -> str:
        name = posixpath.basename(path)
        same = [file for file in await workspace.list_files() if posixpath.basename(file) == name]
        return f" Did you mean {', '.join(same[:3])}?" if same else ""


def _paths(asked: ReadArguments) -> list[str]:
    return [tidy(path.strip()) for path in asked.file_path.split("\n") if path.strip()] or [tidy("")]


async def _document(
    path: str, content: FileContent, asked: ReadArguments, room: int, workspace: Workspace
) -> ToolOutcome:
    from assay.tools.pdf import page_range, pdf_text

    wanted = page_range(asked.pages)
    try:
        pages = await pdf_text(path, content.data, wanted, room, workspace)
    except WorkspaceError as error:
        return refused(str(error))
    text = pages.text
    if pages.last < min(wanted[1], pages.total or wanted[1]):
        text += f"\n[pages {pages.first}-{pages.last}{f' of {pages.total}' if pages.total else ''}"
        text += f"; go on with pages={pages.last + 1}-]"
    display = one_line(f"read {path}: pages {pages.first}-{pages.last} of {pages.total or 'a PDF'}")
    debug: dict[str, Json] = {"bytes": len(content.data), "pages": pages.total}
    return ToolOutcome((Text(text),), display, debug, seen={path: content.stamp.digest})


def _notebook(path: str, content: FileContent, asked: ReadArguments, room: int) -> ToolOutcome | None:
    """None for what is no notebook after all."""
    from assay.tools.notebook import Notebook
    from assay.tools.textfile import decode

    file = decode(content.data)
    try:
        shown = Notebook(file.view if file else "").shown(asked.offset, asked.limit, room)
    except WorkspaceError:
        return None
    display = one_line(f"read {path}: cells {shown.first}-{shown.last} of {shown.total}")
    return ToolOutcome(shown.parts, display, {"cells": shown.total}, seen={path: content.stamp.digest})


def _shown(path: str, content: FileContent, asked: ReadArguments, room: int) -> ToolOutcome:
    from assay.tools.kinds import image_type, kind_of
    from assay.tools.textfile import decode

    data, seen = content.data, {path: content.stamp.digest}
    if media_type := image_type(data):
        if len(data) > IMAGE_BYTES:
            return refused(
                f"{path}: {media_type} of {len(data):,} bytes, more than the {IMAGE_BYTES:,} that can be shown"
            )
        from base64 import b64encode

        part = Image(media_type, b64encode(data).decode("ascii"))
        return ToolOutcome((part,), one_line(f"read {path}: image, {len(data):,} bytes"), seen=seen)
    file = decode(data)
    if file is None:
        text = f"{path}: {kind_of(data)}, {len(data):,} bytes; not text."
        return ToolOutcome((Text(visible(text)),), one_line(text), seen=seen)
    body, first, last, total = _numbered(file, asked, room)
    display = f"read {path}: lines {first}-{last} of {total}" if last else f"read {path}: nothing there"
    return ToolOutcome((Text(body),), one_line(display), {"bytes": len(data), "encoding": file.encoding}, seen=seen)


def _numbered(file: "TextFile", asked: ReadArguments, room: int) -> tuple[str, int, int, int]:
    """The part asked for, with notes; the first and last line shown and the number of lines."""
    lines = file.view.split("\n")
    if not lines[-1]:
        lines.pop()
    first = max(asked.offset, 1)
    if first > len(lines):
        return (f"(the file has {len(lines)} lines)" if lines else "(empty file)"), first, 0, len(lines)
    rows: list[str] = []
    wide: list[int] = []
    for number, line in enumerate(lines[first - 1 : first - 1 + min(max(asked.limit, 1), LINES)], first):
        if len(line) > WIDTH:
            wide.append(number)
            line = f"{line[:WIDTH]}[… {len(line) - WIDTH} more]"
        room -= len(line) + 6
        if room < 0 and rows:
            break
        rows.append(f"{number}\t{line}")
    last = first + len(rows) - 1
    text = "\n".join(rows)
    notes: list[str] = []
    if last < len(lines):
        notes.append(f"lines {first}-{last} of {len(lines)}; go on with offset={last + 1}")
    if wide:
        notes.append(f"cut at {WIDTH} characters: line {', '.join(map(str, wide[:5]))}")
    if has_hidden(text):
        text = visible(text)
        notes.append("control, directional or undecodable characters are written as \\x.. or \\u.... here")
    if file.encoding != "UTF-8":
        notes.append(f"encoding {file.encoding}, kept by Edit")
    return (f"{text}\n[{'; '.join(notes)}]" if notes else text), first, last, len(lines)
