"""The Edit tool: exact search and replace, once unless told otherwise, that touches no byte it was not asked to."""

from typing import TYPE_CHECKING

from msgspec import Struct

from assay.core.errors import ChangedMeanwhile, FileMissing, WorkspaceError
from assay.core.messages import Json
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.core.workspace import FileContent, Stamp
from assay.tools.bound import refused
from assay.tools.paths import relative, tidy
from assay.tools.read import FILE_BYTES
from assay.tools.schema import read_arguments, tool_spec

if TYPE_CHECKING:
    from assay.tools.textfile import TextFile

_PLACES = 1_000
"""Occurrences that are counted; beyond that it is "more than"."""


class EditArguments(Struct, forbid_unknown_fields=True):
    file_path: str
    old_string: str
    new_string: str
    replace_all: bool = False


class EditTool:
    def __init__(self) -> None:
        self.spec = tool_spec("Edit", EditArguments)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("Edit", arguments, EditArguments)
        return (Effect("write", tidy(asked.file_path)),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("Edit", arguments, EditArguments)
        path = relative(tidy(asked.file_path), context.workspace.root)
        try:
            return _edit(path, asked, context)
        except ChangedMeanwhile:
            return refused(f"{path}: changed on disk while it was edited; nothing was written. Read it again.")
        except WorkspaceError as error:
            return refused(f"{error}" if path in str(error) else f"{path}: {error}")


def _edit(path: str, asked: EditArguments, context: ToolContext) -> ToolOutcome:
    from assay.tools.textfile import decode

    old, new = asked.old_string.replace("\r\n", "\n"), asked.new_string.replace("\r\n", "\n")
    try:
        content = context.workspace.read_file(path, FILE_BYTES)
    except FileMissing:
        return _create(path, asked.new_string, None, context) if not old else refused(f"{path}: no such file")
    if not old:
        if content.data:
            return refused(f"{path}: exists and is not empty, so old_string can't be empty")
        return _create(path, asked.new_string, content.stamp, context)
    if old == new:
        return refused(f"{path}: old_string and new_string are the same; nothing to do")
    if context.seen.get(path, content.stamp.digest) != content.stamp.digest:
        return refused(f"{path}: changed since you saw it (by someone else, or a command). Read it again, then edit.")
    file = decode(content.data)
    if file is None:
        return refused(f"{path}: not a text file; edit it with Bash")
    places = _places(file.view, old)
    if not places:
        from assay.tools.nearmiss import near_misses

        return refused(f"{path}: old_string is not in the file. {near_misses(file.view, old)}")
    if len(places) > 1 and not asked.replace_all:
        return refused(f"{path}: {_positions(file, places)}. Add lines around it to old_string, or set replace_all.")
    return _replace(path, asked.replace_all, (old, new), (file, content), context)


def _replace(
    path: str, every: bool, texts: tuple[str, str], target: tuple["TextFile", FileContent], context: ToolContext
) -> ToolOutcome:
    from assay.tools.change import written
    from assay.tools.textfile import decode

    (old, new), (file, content) = texts, target
    spans: list[tuple[int, int]] = []
    at = file.view.find(old)
    while at >= 0:
        spans.append((at, at + len(old)))
        at = file.view.find(old, at + len(old)) if every else -1
    data = file.replaced(spans, new)
    stamp = context.workspace.write_file(path, data, content.stamp)
    first = file.line_at(spans[0][0])
    last = first + new.strip("\n").count("\n")
    where = f"line {first}" if last == first else f"lines {first}-{last}"
    if len(spans) > 1:
        where = f"{len(spans)} places, first at line {first}"
    after = decode(data)
    return written(path, f"edited {path}: {where}", (file.view, after.view if after else ""), stamp)


def _create(path: str, text: str, expect: Stamp | None, context: ToolContext) -> ToolOutcome:
    from assay.tools.change import written
    from assay.tools.textfile import encode_new

    stamp = context.workspace.write_file(path, encode_new(text), expect)
    return written(path, f"created {path}", (None, text), stamp)


def _places(view: str, old: str) -> list[int]:
    """Starts of all occurrences, overlapping ones too: any of them makes a match ambiguous."""
    places: list[int] = []
    at = view.find(old)
    while at >= 0 and len(places) <= _PLACES:
        places.append(at)
        at = view.find(old, at + 1)
    return places


def _positions(file: "TextFile", places: list[int]) -> str:
    lines = list(dict.fromkeys(file.line_at(place) for place in places[:10]))
    count = f"more than {_PLACES}" if len(places) > _PLACES else str(len(places))
    more = ", …" if len(places) > 10 else ""
    return f"old_string occurs {count} times (line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}{more})"
