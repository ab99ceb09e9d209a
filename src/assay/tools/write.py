"""The Write tool: new files, and whole files that the model has read."""

from msgspec import Struct

from assay.core.errors import ChangedMeanwhile, FileMissing, WorkspaceError
from assay.core.messages import Json
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.bound import refused
from assay.tools.paths import relative, tidy
from assay.tools.read import FILE_BYTES
from assay.tools.schema import read_arguments, tool_spec


class WriteArguments(Struct, forbid_unknown_fields=True):
    file_path: str
    content: str


class WriteTool:
    def __init__(self) -> None:
        self.spec = tool_spec("Write", WriteArguments)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("Write", arguments, WriteArguments)
        return (Effect("write", tidy(asked.file_path)),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("Write", arguments, WriteArguments)
        path = relative(tidy(asked.file_path), context.workspace.root)
        try:
            return _write(path, asked.content, context)
        except ChangedMeanwhile:
            return refused(f"{path}: changed on disk meanwhile; nothing was written. Read it again.")
        except WorkspaceError as error:
            return refused(f"{error}" if path in str(error) else f"{path}: {error}")


def _write(path: str, text: str, context: ToolContext) -> ToolOutcome:
    from assay.tools.change import written
    from assay.tools.textfile import decode, encode_new

    try:
        content = context.workspace.read_file(path, FILE_BYTES)
    except FileMissing:
        stamp = context.workspace.write_file(path, encode_new(text), None)
        return written(path, f"created {path}", (None, text), stamp)
    seen = context.seen.get(path)
    if seen is None and content.data:
        return refused(f"{path}: exists, and you have not read it. Read it first, or use Edit.")
    if seen is not None and seen != content.stamp.digest:
        return refused(f"{path}: changed since you saw it (by someone else, or a command). Read it again, then write.")
    file = decode(content.data)
    data = file.rewritten(text) if file else encode_new(text)
    if data == content.data:
        return refused(f"{path}: already has exactly this content")
    stamp = context.workspace.write_file(path, data, content.stamp)
    after = decode(data)
    views = (file.view if file else "", after.view if after else text)
    return written(path, f"wrote {path}", views, stamp)
