"""Sub-agents put together: which kinds there are, and what each is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import msgspec
from msgspec.structs import replace

from assay._version import __version__
from assay.app.companion import Companion
from assay.app.library import Library
from assay.context.instructions import Reader
from assay.context.prompt import system_text
from assay.core.agents import AgentDefinition, AgentOrigin, merge_agents, read_agent
from assay.core.clock import Clock
from assay.core.context import Fragment
from assay.core.errors import UsageError
from assay.core.events import ContextAdded, Noticed, SessionStarted
from assay.core.messages import Json
from assay.core.model import EFFORTS, Effort, Model
from assay.core.policy import Gate
from assay.core.spawn import GENERAL, Spawner
from assay.core.store import EventStore
from assay.core.tool import Tool
from assay.policy.bounds import PERMISSION_MODES, PermissionMode
from assay.policy.gate import RuleGate
from assay.run.agents import Agents
from assay.run.run import Run, RunOptions
from assay.run.tasks import Tasks
from assay.run.toolset import Toolset
from assay.tools.agent import AgentTool
from assay.tools.skill import SkillTool
from assay.tools.tasks import Background, TaskOutputTool, TaskStopTool

EXPLORE = "Explore"
SKILLS = "skills"
"""The source of the list of skills."""
_INHERIT = frozenset({"", "inherit", "default"})
_NOT_FOR_CHILDREN = frozenset({
    "finish", "AskUserQuestion", "EnterPlanMode", "ExitPlanMode", "StructuredOutput", "Agent", "TaskOutput", "TaskStop",
})  # fmt: skip
"""Tools that belong to the session itself, or are made for each agent."""
_WRITING = frozenset({"Edit", "Write", "NotebookEdit", "TodoWrite"})
_LOOSENESS: dict[str, int] = {"plan": 0, "dontAsk": 1, "default": 2, "acceptEdits": 3, "bypassPermissions": 4}
_BASE = "Another agent sent you out for one errand. Your last message is all it gets: put the whole answer there."
SUBAGENT = "subagent"
"""The alias in a user's settings that names the model of agents, when nothing else does."""

BUILT_IN = (
    AgentDefinition(GENERAL, "any errand, changes included", "Do the errand to its end."),
    AgentDefinition(
        EXPLORE,
        "finds out where and how things are done; reads only",
        "Look, and change nothing. Answer with paths and line numbers.",
        disallowed=tuple(sorted(_WRITING)),
        permission_mode="plan",
        bare=True,
    ),
)

MakeGate = Callable[[PermissionMode], RuleGate]
MakeTools = Callable[[Callable[[], bool], Background], Iterable[Tool]]
"""Tools that know whose they are: whether commands may not write, and how they go on in the background."""


class Outfitter:
    """Implements `run.agents.Outfit`. `open_model` takes a name and answers with a model that others close."""

    def __init__(
        self,
        open_model: Callable[[str], Model],
        aliases: dict[str, str],
        environ: Mapping[str, str],
        make_gate: MakeGate,
        make_tools: MakeTools,
        clock: Clock,
    ) -> None:
        """`aliases`: those of the user's settings."""
        self._open = open_model
        self._aliases = aliases
        self._wanted = environ.get("CLAUDE_CODE_SUBAGENT_MODEL") or (SUBAGENT if SUBAGENT in aliases else "")
        self._make_gate = make_gate
        self._make_tools = make_tools
        self._clock = clock
        self._library: Library | None = None
        self._reader: Reader | None = None
        self._given: list[AgentDefinition] = [*BUILT_IN]
        self._kinds = merge_agents(self._given)

    @property
    def kinds(self) -> dict[str, AgentDefinition]:
        return self._kinds

    def define(self, definitions: Iterable[AgentDefinition]) -> None:
        """Further kinds; of two with one name, see `core.agents.ORIGINS`."""
        self._given += definitions
        self._kinds = merge_agents(self._given)

    def use_library(self, library: Library, reader: Reader) -> None:
        """From now on agents have skills, and the instructions for files that they read."""
        self._library, self._reader = library, reader

    @property
    def unused(self) -> list[str]:
        """A line for each field that definitions have and that is not applied here."""
        found: dict[str, list[str]] = {}
        for kind in self._kinds.values():
            for field in kind.unused:
                found.setdefault(field, []).append(kind.name)
        return [f"agents: {field}: not applied here, in {', '.join(names)}" for field, names in found.items()]

    def model(self, wanted: str, kind: AgentDefinition, parent: Model) -> Model:
        """What a model or the project asks for may be an alias of the user's settings, or a model of the provider that
        the session uses: contents go to none that the user did not name."""
        named = next((name for name in (wanted, kind.model, self._wanted) if name.strip().lower() not in _INHERIT), "")
        if "inherit" in (wanted, kind.model if not wanted else ""):
            named = ""
        if not named or named in (parent.profile.name, parent.profile.model):
            return parent
        theirs = named == self._wanted or (not wanted and kind.trusted)
        if target := self._aliases.get(named):
            return self._open(target)
        if "/" not in named and not theirs:
            # An alias of ours, such as `haiku`: meant as "a smaller one", and only had where the session is.
            return self._near(named, parent)
        if not theirs and _provider(named) != _provider(parent.profile.name):
            raise UsageError(
                f"model '{named[:80]}': this session uses {parent.profile.name}; another provider is for the user to "
                "name, by an alias in the settings"
            )
        return self._open(named)

    def _near(self, name: str, parent: Model) -> Model:
        from assay.models.catalog import load

        target = load(None).aliases.get(name, "")
        return self._open(target) if target and _provider(target) == _provider(parent.profile.name) else parent

    def gate(self, kind: AgentDefinition, parent: Gate) -> Gate:
        """Stricter than the parent's whenever the kind says so; looser only if the user, or a program of theirs, wrote
        it, and never out of a mode that holds everything back."""
        mode: PermissionMode | None = next((each for each in PERMISSION_MODES if each == kind.permission_mode), None)
        if mode is None:
            return parent
        own = self._make_gate(mode)
        before = parent.mode if isinstance(parent, RuleGate) else "plan"
        from assay.policy.meet import Meet

        looser = _LOOSENESS[mode] > _LOOSENESS.get(before, 0)
        return own if looser and kind.trusted and before in ("default", "acceptEdits") else Meet(parent, own)

    def tools(self, kind: AgentDefinition, offered: Toolset, spawner: Spawner, *, deepest: bool) -> Toolset:
        background = Background(spawner)
        fresh = {tool.spec.name: tool for tool in self._make_tools(lambda: kind.permission_mode == "plan", background)}
        deferred = {tool.spec.name for tool in offered.deferred}
        listed = ("*",) if kind.tools is None else (*kind.tools, *(f"mcp__{server}" for server in kind.mcp_servers))
        found = Toolset()
        for name in offered:
            if name not in _NOT_FOR_CHILDREN and _named(name, listed) and not _named(name, kind.disallowed, bare=True):
                late = name in deferred and not _named(name, kind.tools or ())
                found.add(fresh.get(name, offered[name]), deferred=late)
        agents = not deepest and "Agent" in offered and kind.name != EXPLORE
        if agents and _named("Agent", listed) and not _named("Agent", kind.disallowed, bare=True):
            found.add(AgentTool(spawner, background=False))
        if "Skill" in found and self._library:
            found.add(SkillTool(partial(self._library.load, agents=found.get("Agent"))))
        if "Bash" in found and "TaskStop" in offered:
            found.add(TaskOutputTool(spawner), deferred=True)
            found.add(TaskStopTool(spawner), deferred=True)
        return found

    def options(self, kind: AgentDefinition, parent: RunOptions) -> RunOptions:
        effort: Effort | None = next((word for word in EFFORTS if word == kind.effort), None)
        return replace(
            parent,
            system=system_text(None, "\n\n".join(part for part in (_BASE, kind.prompt) if part)),
            instructions=tuple(each for each in parent.instructions if _meant(kind, each)),
            reasoning=replace(parent.reasoning, effort=effort) if effort else parent.reasoning,
        )

    def log(self, task: str, parent: Run) -> tuple[EventStore, str]:
        """Among the files of the session that the agent belongs to: `ID/agents/agent-TASK.jsonl`."""
        from assay.sessions.log import SessionLog

        root = parent.tasks.root if parent.tasks else parent
        store = SessionLog.create(Path(root.parts.spill) / "agents" / f"agent-{task}.jsonl", clock=self._clock)
        store.append(SessionStarted(store.session, root.parts.workspace.root, __version__))
        return store, str(store.path)

    async def prepare(self, kind: AgentDefinition, child: Run) -> None:
        library, reader = self._library, self._reader
        if library is None or reader is None:
            return
        if not kind.bare:
            directory = library.task.wish.directory
            child.watchers.append(Companion(child, library, Reader(directory, reader.reach), directory))
        for name in kind.skills:
            if each := await library.brought(name):
                child.record(ContextAdded(each.owner, each.text, each.source, each.label))
            else:
                child.record(Noticed(f"agent {kind.name}: there is no skill '{name[:80]}' to begin with"))


def _meant(kind: AgentDefinition, instruction: Fragment) -> bool:
    """Whether what the session began with is for this kind, too: the list of skills for those that can load them."""
    if instruction.source == SKILLS:
        listed = kind.tools if kind.tools is not None else ("*",)
        return _named("Skill", listed) and not _named("Skill", kind.disallowed, bare=True)
    return not kind.bare


def attach(
    run: Run, outfit: Outfitter, background: Background, tools: Sequence[str] | None, without: Sequence[str]
) -> Tasks:
    """Let `run` send out agents and have commands go on, as far as `tools` and `without` (`--tools` and
    `--disallowedTools`) let it."""
    tasks = Tasks(run)
    spawner = background.spawner = Agents(run, tasks, outfit)
    made = (AgentTool(spawner), TaskOutputTool(spawner), TaskStopTool(spawner))
    for tool in made:
        name = tool.spec.name
        wanted = tools is None or "default" in tools or _named(name, tools)
        # What controls tasks is there as soon as there can be any, and shown when there is one.
        late = name != "Agent"
        wanted = wanted or (late and bool({"Agent", "Bash"} & run.tools.keys()))
        if wanted and not _named(name, without, bare=True):
            run.tools.add(tool, deferred=late)
    return tasks


def read_agents(raw: Json, origin: AgentOrigin = "host") -> list[AgentDefinition]:
    """Kinds by name, as `--agents` and `initialize.agents` give them. Raises `UsageError` that names the agent."""
    if raw is None or raw == "":
        return []
    if isinstance(raw, str):
        try:
            raw = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise UsageError(f"--agents is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError("agents: expected a JSON object of agents by name")
    found: list[AgentDefinition] = []
    for name, fields in cast("dict[str, Json]", raw).items():
        if not isinstance(fields, dict):
            raise UsageError(f"agent '{name[:40]}': expected an object with description and prompt")
        found.append(read_agent(name, cast("dict[str, Json]", fields), origin))
    return found


def _named(name: str, listed: Iterable[str], *, bare: bool = False) -> bool:
    """Whether a list of tools names this one: by its name or one it went by, by its server, or by `*`. What stands in
    parentheses narrows a rule, not a tool; with `bare` such an entry names none."""
    from assay.tools.toolbox import tools_named

    for entry in listed:
        plain, parenthesis, _ = entry.partition("(")
        plain = plain.strip()
        if bare and parenthesis:
            continue
        if plain == "*" or name in (plain, *tools_named(plain)) or (plain == "Task" and name == "Agent"):
            return True
        server = plain.removesuffix("*").removesuffix("__")
        if server.startswith("mcp__") and name.startswith(f"{server}__"):
            return True
    return False


def _provider(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""
