"""EnterPlanMode and ExitPlanMode: nothing is changed until the user has approved a plan.

The mode is the gate's, which holds it whatever a model does. The plan is kept as a file among the session's own.
"""

from collections.abc import Callable

from msgspec import Struct

from assay.core.errors import InvalidArguments
from assay.core.messages import Json, Text
from assay.core.policy import OPERATOR, PERSON, Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.bound import one_line
from assay.tools.schema import read_arguments, tool_spec

LONGEST = 100_000
"""Characters of a plan."""


class PlanMode:
    """The mode of a session as these tools see it. `mode` tells it, `use` changes it, `keep` writes a plan and returns
    where, `kept` reads it."""

    def __init__(
        self, mode: Callable[[], str], use: Callable[[str], None], keep: Callable[[str], str], kept: Callable[[], str]
    ) -> None:
        self.mode, self.keep, self.kept = mode, keep, kept
        self._use = use
        self._before = "default"

    def enter(self) -> None:
        self._before = self.mode()
        self._use("plan")

    def leave(self) -> None:
        """Back to the mode of before, unless whoever approved chose another one."""
        if self.mode() == "plan":
            self._use(self._before)


class NoArguments(Struct, forbid_unknown_fields=True):
    pass


class ExitArguments(Struct, forbid_unknown_fields=True):
    plan: str = ""


class Prompt(Struct):
    tool: str = ""
    prompt: str = ""


class AnyExitArguments(ExitArguments, forbid_unknown_fields=True, rename="camel"):
    allowed_prompts: list[Prompt] = []
    plan_file_path: str = ""


class EnterPlanTool:
    def __init__(self, plan: PlanMode) -> None:
        self.spec = tool_spec("EnterPlanMode", NoArguments)
        self._plan = plan

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        read_arguments("EnterPlanMode", arguments, NoArguments)
        if self._plan.mode() == "plan":
            raise InvalidArguments("EnterPlanMode: this session is in plan mode already")
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del arguments, context
        self._plan.enter()
        text = "Plan mode: read and search, change nothing. When the plan is complete, call ExitPlanMode with it."
        return ToolOutcome((Text(text),), "plan mode", label=OPERATOR)


class ExitPlanTool:
    """The call itself is the question; when it runs, the plan is approved."""

    def __init__(self, plan: PlanMode) -> None:
        self.spec = tool_spec("ExitPlanMode", ExitArguments)
        self._plan = plan

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        plan = read_arguments("ExitPlanMode", arguments, AnyExitArguments).plan
        if self._plan.mode() != "plan":
            raise InvalidArguments("ExitPlanMode: this session is not in plan mode; go on with the work")
        if len(plan) > LONGEST:
            raise InvalidArguments(f"ExitPlanMode: plan: expected at most {LONGEST} characters")
        if not plan.strip() and not self._plan.kept():
            raise InvalidArguments("ExitPlanMode: plan is missing")
        return (PERSON,)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context
        plan = read_arguments("ExitPlanMode", arguments, AnyExitArguments).plan.strip() or self._plan.kept()
        where = self._plan.keep(plan)
        self._plan.leave()
        text = f"The user approved the plan; carry it out. It is kept in {where}:\n\n{plan}"
        return ToolOutcome((Text(text),), one_line(f"plan approved: {where}"), {"plan": where}, label=OPERATOR)
