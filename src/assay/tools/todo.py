"""The TodoWrite tool: the model's own list of steps, kept where people and compaction can see it."""

from typing import Literal

from msgspec import Struct, to_builtins

from assay.core.errors import InvalidArguments
from assay.core.messages import Json, Text
from assay.core.policy import OPERATOR, Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.bound import one_line
from assay.tools.schema import read_arguments, tool_spec

MOST = 100
LONGEST = 1_000
"""Characters of a step."""


class Todo(Struct, forbid_unknown_fields=True, rename="camel"):
    content: str
    status: Literal["pending", "in_progress", "completed"]
    active_form: str = ""


class TodoArguments(Struct, forbid_unknown_fields=True):
    todos: list[Todo]


class TodoTool:
    """`debug` of its outcome holds the list: `{"todos": [{"content", "status", "activeForm"}, ...]}`."""

    def __init__(self) -> None:
        self.spec = tool_spec("TodoWrite", TodoArguments)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        todos = read_arguments("TodoWrite", arguments, TodoArguments).todos
        if len(todos) > MOST:
            raise InvalidArguments(f"TodoWrite: todos: {len(todos)} steps, at most {MOST} are kept")
        for number, todo in enumerate(todos):
            if not todo.content.strip() or len(todo.content) > LONGEST or len(todo.active_form) > LONGEST:
                raise InvalidArguments(
                    f"TodoWrite: todos[{number}]: expected what is to be done, in at most {LONGEST} characters"
                )
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context  # of the port; there is nothing to touch
        todos = read_arguments("TodoWrite", arguments, TodoArguments).todos
        done = sum(todo.status == "completed" for todo in todos)
        now = [todo.active_form or todo.content for todo in todos if todo.status == "in_progress"]
        said = f"{done} of {len(todos)} done" if todos else "the list is empty"
        display = one_line(f"todos: {said}{': ' + now[0] if now else ''}")
        return ToolOutcome((Text(f"Kept: {said}."),), display, {"todos": to_builtins(todos)}, label=OPERATOR)
