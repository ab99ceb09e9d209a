"""The Agent tool: send out a sub-agent."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from assay.core.agents import AgentDefinition
from assay.core.errors import InvalidArguments, UsageError
from assay.core.messages import Json, Text
from assay.core.model import ToolSpec
from assay.core.policy import Effect
from assay.core.spawn import GENERAL, Errand, Report, Spawner
from assay.core.tool import ToolContext, ToolOutcome, failed
from assay.tools.bound import one_line
from assay.tools.schema import read_arguments, tool_spec

CONTROLS = ("TaskOutput", "TaskStop")
"""Tools that are loaded when there is something to control."""
_DESCRIBED = 160
"""Characters of a kind's description that the model is shown."""
_LISTED = 2_400
"""Of all kinds together."""
_HIDDEN = ("name", "isolation")


class AgentArguments(Struct, forbid_unknown_fields=True):
    description: str
    prompt: str
    subagent_type: str = GENERAL
    model: str = ""
    run_in_background: bool = False
    name: str = ""
    isolation: Literal["", "worktree"] = ""


class AgentTool:
    """Of a call that ended, `debug` has what hosts show of it under `tool_use_result`."""

    def __init__(self, spawner: Spawner, *, background: bool = True) -> None:
        """`background`: agents may go on while their parent does."""
        self._spawner = spawner
        self._spec = tool_spec("Agent", AgentArguments, _HIDDEN if background else (*_HIDDEN, "run_in_background"))
        self._listed: tuple[str, ToolSpec] = ("", self._spec)

    @property
    def spec(self) -> ToolSpec:
        kinds = listing(self._spawner.kinds.values())
        if kinds != self._listed[0]:
            text = f"{self._spec.description}\nsubagent_type:\n{kinds}"
            self._listed = kinds, ToolSpec(self._spec.name, text, self._spec.parameters)
        return self._listed[1]

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        """It has none itself: what the agent does is decided call by call. Its kind is what rules may name."""
        asked = read_arguments("Agent", arguments, AgentArguments)
        if not asked.prompt.strip():
            raise InvalidArguments("Agent: prompt: expected what the agent is to do")
        return (Effect("none", asked.subagent_type),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("Agent", arguments, AgentArguments)
        errand = Errand(
            one_line(asked.description, 100) or one_line(asked.prompt, 60),
            asked.prompt,
            asked.subagent_type,
            asked.model,
            asked.run_in_background,
            asked.name,
            asked.isolation == "worktree",
        )
        try:
            report = await self._spawner.spawn(errand, context.call)
        except UsageError as error:
            return failed(f"Agent: {error}")
        if report.status == "running":
            said = f"Agent {report.task} is at work in the background; you will be told when it ends. Go on meanwhile."
            shown: dict[str, Json] = {
                "isAsync": True, "status": "async_launched", "agentId": report.task, "description": errand.description,
                "prompt": asked.prompt, "outputFile": report.output,
            }  # fmt: skip
            display = f"agent {report.task} ({report.kind}) in the background: {errand.description}"
            return ToolOutcome((Text(said),), display, {"tool_use_result": shown}, loads=CONTROLS, label=report.label)
        return _answer(report, asked.prompt)


def _answer(report: Report, prompt: str) -> ToolOutcome:
    text = report.text or "(it said nothing)"
    spent = f"{report.calls} calls, {report.usage.total:,} tokens, {report.seconds:.0f} s"
    fine = report.status == "completed"
    head = "" if fine else f"[the agent {report.status}]\n"
    shown: dict[str, Json] = {
        "status": "completed",
        "agentId": report.task,
        "agentType": report.kind,
        "resolvedModel": report.model,
        "prompt": prompt,
        "content": [{"type": "text", "text": text}],
        "totalDurationMs": round(report.seconds * 1000),
        "totalTokens": report.usage.total,
        "totalToolUseCount": report.calls,
        "usage": {
            "input_tokens": report.usage.input,
            "cache_creation_input_tokens": report.usage.cache_write,
            "cache_read_input_tokens": report.usage.cache_read,
            "output_tokens": report.usage.output,
        },
    }
    display = one_line(f"agent {report.kind} {report.status}: {report.description} ({spent})")
    content = (Text(f"{head}{text}\n[agent {report.task}: {spent}]"),)
    return ToolOutcome(content, display, {"tool_use_result": shown}, is_error=not fine, label=report.label)


def listing(kinds: Iterable[AgentDefinition]) -> str:
    """Names and when to use them, one a line, within a cap that is told."""
    lines: list[str] = []
    left, room = 0, _LISTED
    for kind in kinds:
        line = f"- {one_line(kind.name, 60)}: {one_line(kind.description, _DESCRIBED)}"
        room -= len(line)
        if room >= 0:
            lines.append(line)
        else:
            left += 1
    return "\n".join([*lines, *([f"- and {left} more that are not listed here"] if left else [])])
