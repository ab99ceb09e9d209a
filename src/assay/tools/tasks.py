"""Tools for what goes on in the background: begin a command there, look at a task, end it."""

from msgspec import Struct
from msgspec.structs import replace

from assay.core.errors import UsageError, WorkspaceError
from assay.core.ids import new_id
from assay.core.messages import Json, Text
from assay.core.policy import Effect
from assay.core.spawn import Report, Spawner
from assay.core.tool import ToolContext, ToolOutcome, failed
from assay.core.workspace import Command
from assay.tools.agent import CONTROLS
from assay.tools.bound import one_line, refused
from assay.tools.schema import read_arguments, tool_spec

LONGEST = 600_000
"""Milliseconds that one call waits at most."""
WEEK = 7 * 86_400.0
"""Seconds after which a command in the background ends in any case."""


class Background:
    """Begins commands for the Bash tool. `spawner` may come later, with the run."""

    def __init__(self, spawner: Spawner | None = None) -> None:
        self.spawner = spawner

    async def __call__(self, command: Command, description: str, context: ToolContext) -> ToolOutcome:
        """See `tools.bash.Background`."""
        if self.spawner is None or not context.spill:
            return refused("commands can't go on in the background here; run it without run_in_background")
        live = replace(
            command,
            live=True,
            timeout=command.timeout or WEEK,
            spill=command.spill or f"{context.spill}/{new_id()}.txt",
            terminal=None,
        )
        try:
            process = context.workspace.start(live)
        except WorkspaceError as error:
            return refused(str(error))
        about = one_line(description or command.argv[-1], 100)
        report = await self.spawner.adopt(process, about, context.call)
        text = (
            f"Running in the background as task {report.task}; you will be told when it ends. Output: {report.output}"
        )
        shown: dict[str, Json] = {
            "stdout": "", "stderr": "", "interrupted": False, "isImage": False, "backgroundTaskId": report.task,
        }  # fmt: skip
        display = f"$ {about} → task {report.task} in the background"
        return ToolOutcome((Text(text),), display, {"tool_use_result": shown}, loads=CONTROLS)


class TaskOutputArguments(Struct, forbid_unknown_fields=True):
    task_id: str
    block: bool = True
    timeout: int = 30_000


class TaskOutputTool:
    def __init__(self, spawner: Spawner) -> None:
        self.spec = tool_spec("TaskOutput", TaskOutputArguments)
        self._spawner = spawner

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        read_arguments("TaskOutput", arguments, TaskOutputArguments)
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context  # of the port; tasks know where their output is
        asked = read_arguments("TaskOutput", arguments, TaskOutputArguments)
        patience = min(max(asked.timeout, 0), LONGEST) / 1000 if asked.block else 0.0
        try:
            return _shown(await self._spawner.look(asked.task_id, patience))
        except UsageError as error:
            return failed(f"TaskOutput: {error}")


class TaskStopArguments(Struct, forbid_unknown_fields=True):
    task_id: str


class TaskStopTool:
    def __init__(self, spawner: Spawner) -> None:
        self.spec = tool_spec("TaskStop", TaskStopArguments)
        self._spawner = spawner

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        read_arguments("TaskStop", arguments, TaskStopArguments)
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context
        asked = read_arguments("TaskStop", arguments, TaskStopArguments)
        try:
            return _shown(await self._spawner.halt(asked.task_id))
        except UsageError as error:
            return failed(f"TaskStop: {error}")


def _shown(report: Report) -> ToolOutcome:
    head = f"task {report.task} ({report.description}): {report.status}, {report.seconds:.0f} s"
    where = f"\n[all of it: {report.output}]" if report.output and report.what == "command" else ""
    shown: dict[str, Json] = {
        "task_id": report.task, "task_type": "local_agent" if report.what == "agent" else "local_bash",
        "status": report.status, "description": report.description, "output": report.text,
    }  # fmt: skip
    content = (Text(f"{head}\n{report.text or '(nothing so far)'}{where}"),)
    return ToolOutcome(content, head, {"tool_use_result": shown}, label=report.label)
