"""The tool for a final answer in a shape that the user gave."""

from __future__ import annotations

from assay.core.messages import Json, Text
from assay.core.model import ToolSpec
from assay.core.policy import Effect
from assay.core.schema import first_breach
from assay.core.tool import ToolContext, ToolOutcome, failed


class StructuredOutputTool:
    """Its arguments are the answer, and the turn may end with it."""

    def __init__(self, schema: dict[str, Json]) -> None:
        """`schema`: a JSON Schema of type object."""
        self.spec = ToolSpec("StructuredOutput", "Give the final answer, in this shape.", schema)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        del arguments  # checked when it runs: a wrong answer is told like any failed call
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context  # of the port; there is nothing to touch
        if breach := first_breach(arguments, self.spec.parameters, "$"):
            return failed(f"The answer does not meet the schema: {breach}. Call it again with all of it corrected.")
        return ToolOutcome((Text("Taken."),), "gave the answer", finish=True)
