"""The finish tool: the model says what should now be true, and asks to end. The done gate decides."""

from msgspec import Struct, to_builtins

from assay.core.messages import Json, Text
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.bound import one_line
from assay.tools.schema import read_arguments, tool_spec


class DeclaredCriterion(Struct, forbid_unknown_fields=True):
    text: str
    check: str = ""
    expect: str = ""


class FinishArguments(Struct, forbid_unknown_fields=True):
    summary: str
    criteria: list[DeclaredCriterion] = []


class FinishTool:
    """`debug` of its outcome holds what to log: `{"summary": str, "criteria": [{"text", "check", "expect"}, ...]}`."""

    def __init__(self) -> None:
        self.spec = tool_spec("finish", FinishArguments)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        read_arguments("finish", arguments, FinishArguments)
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context  # of the port; there is nothing to touch
        asked = read_arguments("finish", arguments, FinishArguments)
        criteria = [to_builtins(criterion) for criterion in asked.criteria if criterion.text.strip()]
        return ToolOutcome(
            (Text("Asked to finish; the checks decide."),),
            one_line(f"finish: {asked.summary}"),
            {"summary": asked.summary, "criteria": criteria},
            finish=True,
        )
