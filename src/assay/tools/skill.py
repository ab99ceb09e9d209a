"""The Skill tool: the text of a skill, when it is needed."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from assay.core.errors import InvalidArguments
from assay.core.messages import Json
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.schema import read_arguments, tool_spec

Load = Callable[[str, str, ToolContext], Awaitable[ToolOutcome]]
"""Name, arguments and context to what the model gets."""


class SkillArguments(Struct, forbid_unknown_fields=True):
    skill: str
    args: str = ""


class SkillTool:
    """`load` knows the skills, and judges by itself what one wants to have run."""

    def __init__(self, load: Load) -> None:
        self.spec = tool_spec("Skill", SkillArguments)
        self._load = load

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = _read(arguments)
        return (Effect("none", asked.skill),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = _read(arguments)
        return await self._load(asked.skill, asked.args, context)


def _read(arguments: dict[str, Json]) -> SkillArguments:
    asked = read_arguments("Skill", arguments, SkillArguments)
    name = asked.skill.strip().removeprefix("/")
    if not name:
        raise InvalidArguments("Skill: skill: expected the name of a skill")
    return SkillArguments(name, asked.args)
