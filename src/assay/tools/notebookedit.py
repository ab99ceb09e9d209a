"""The NotebookEdit tool: one cell replaced, inserted or deleted; the rest of the file keeps its bytes."""

from typing import Literal

from msgspec import Struct

from assay.core.errors import ChangedMeanwhile, InvalidArguments, WorkspaceError
from assay.core.messages import Json
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.bound import refused
from assay.tools.paths import relative, tidy
from assay.tools.read import FILE_BYTES
from assay.tools.schema import read_arguments, tool_spec


class NotebookEditArguments(Struct, forbid_unknown_fields=True):
    notebook_path: str
    new_source: str
    cell_id: str = ""
    cell_type: Literal["", "code", "markdown"] = ""
    edit_mode: Literal["replace", "insert", "delete"] = "replace"


class NotebookEditTool:
    def __init__(self) -> None:
        self.spec = tool_spec("NotebookEdit", NotebookEditArguments)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("NotebookEdit", arguments, NotebookEditArguments)
        if asked.edit_mode != "insert" and not asked.cell_id:
            raise InvalidArguments(f"NotebookEdit: cell_id: expected the cell to {asked.edit_mode}")
        if asked.edit_mode == "insert" and not asked.cell_type:
            raise InvalidArguments("NotebookEdit: cell_type: expected code or markdown for a new cell")
        return (Effect("write", tidy(asked.notebook_path)),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("NotebookEdit", arguments, NotebookEditArguments)
        path = relative(tidy(asked.notebook_path), context.workspace.root)
        try:
            return _edited(path, asked, context)
        except ChangedMeanwhile:
            return refused(f"{path}: changed on disk while it was edited; nothing was written. Read it again.")
        except WorkspaceError as error:
            return refused(f"{error}" if path in str(error) else f"{path}: {error}")


def _edited(path: str, asked: NotebookEditArguments, context: ToolContext) -> ToolOutcome:
    from assay.tools.change import written
    from assay.tools.notebook import Notebook
    from assay.tools.textfile import decode

    content = context.workspace.read_file(path, FILE_BYTES)
    if path not in context.seen:
        return refused(f"{path}: you have not read it. Read it first.")
    if context.seen[path] != content.stamp.digest:
        return refused(f"{path}: changed since you saw it (by someone else, or a command). Read it again, then edit.")
    file = decode(content.data)
    if file is None:
        return refused(f"{path}: not a text file")
    notebook = Notebook(file.view)
    index = notebook.index(asked.cell_id) if asked.cell_id else -1
    match asked.edit_mode:
        case "replace":
            text, did = notebook.replaced(index, asked.new_source, asked.cell_type or None), "replaced"
        case "insert":
            text, did = notebook.inserted(index + 1, asked.new_source, asked.cell_type or "code"), "inserted"
            index += 1
        case "delete":
            text, did = notebook.deleted(index), "deleted"
    name = notebook.name(index) if asked.edit_mode == "delete" else Notebook(text).name(index)
    stamp = context.workspace.write_file(path, file.rewritten(text), content.stamp)
    return written(path, f"{did} cell {name} of {path}", (file.view, text), stamp)
