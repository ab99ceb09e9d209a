"""Skills, commands, styles and the rest in the hands of a task: what a prompt stands for, and what comes along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assay.app.lent import Lending
from assay.app.reasoning import read_reasoning
from assay.app.stock import Stock
from assay.core.context import Fragment
from assay.core.errors import AssayError, UsageError
from assay.core.events import ContextAdded, Noticed
from assay.core.messages import Json, Text
from assay.core.model import Model
from assay.core.policy import OPERATOR, WORKSPACE, Effect, Label, Question
from assay.core.tool import Tool, ToolContext, ToolOutcome, failed
from assay.core.workspace import Command

if TYPE_CHECKING:
    from assay.app.task import Task
    from assay.context.library.skills import Skill

COMMANDS = 20
"""Commands that one text may have run."""
SECONDS = 60.0
"""That each of them has."""
SHOWN = 16_000
"""Bytes of what one prints that are kept."""
FILE = 40_000
"""Characters of a file that is named by `@`."""
FILES = 120_000
"""Of all of them."""


class Expansion(Struct, frozen=True):
    """What a prompt stands for."""

    text: str
    """What goes to the model as the user's words; empty when the answer is here already."""
    answer: str | None = None
    """What there is to say without a model."""
    command: str = ""
    """The command or skill that was called by name."""
    context: tuple[Fragment, ...] = ()
    """What comes along: the text of the command, files, skills."""
    rules: tuple[str, ...] = ()
    """Rules of calls that need no approval in this turn."""
    model: str = ""
    effort: str = ""


class Library:
    """`task.library`. Nothing here goes to a model by itself: `expand` says what would, `during` makes it so."""

    def __init__(self, stock: Stock, trusted: frozenset[str] = frozenset(), denied: tuple[str, ...] = ()) -> None:
        self.stock = stock
        self.lending: Lending | None = None
        self.models: Callable[[str], Model] | None = None
        """Makes the model of a name. Raises `AssayError`."""
        self.pending: list[Fragment] = []
        """What the next step of a turn begins with."""
        self._trusted = trusted
        self._denied = denied
        self._task: Task | None = None
        self._told: set[str] = set()

    def serve(self, task: Task, lending: Lending, models: Callable[[str], Model]) -> None:
        """From now on for `task`."""
        self._task, self.lending, self.models = task, lending, models

    @property
    def task(self) -> Task:
        if self._task is None:
            raise UsageError("the library belongs to no task yet")
        return self._task

    # --- lists, as hosts show them ----------------------------------------------------------------------------------

    @property
    def commands(self) -> list[dict[str, Json]]:
        """What can be called by `/name`: name, description, argumentHint, builtin."""
        from assay.app.commands import BUILT_IN

        rows: list[dict[str, Json]] = [
            {"name": name, "description": what, "argumentHint": hint, "builtin": True}
            for name, (what, hint) in BUILT_IN.items()
        ]
        return rows + [
            {"name": skill.name, "description": skill.description, "argumentHint": skill.hint}
            for skill in self.callable()
        ]

    @property
    def agents(self) -> list[dict[str, Json]]:
        """Kinds of agents from files: name, description, model, perhaps color."""
        rows: list[dict[str, Json]] = []
        for agent in self.stock.agents:
            more: dict[str, Json] = {"color": agent.color} if agent.color else {}
            rows.append(
                {"name": agent.name, "description": agent.description, "model": agent.model or "inherit", **more}
            )
        return rows

    @property
    def skills(self) -> list[str]:
        return [skill.name for skill in self.stock.skills.values() if skill.kind == "skill"]

    @property
    def plugins(self) -> list[dict[str, Json]]:
        return [{"name": plugin.name, "path": str(plugin.path)} for plugin in self.stock.plugins]

    @property
    def style(self) -> str:
        return self.stock.style

    @property
    def styles(self) -> list[str]:
        from assay.context.library.outputs import read_styles

        return list(self.stock.styles or read_styles([], []))

    def callable(self) -> list[Skill]:
        """Skills and commands that a person may call by name."""
        return [skill for skill in self.stock.skills.values() if skill.for_user and not self.denies(skill.name)]

    def denies(self, name: str) -> bool:
        """A deny rule names this skill."""
        from assay.policy.matching import names_match

        return any(names_match(pattern.casefold(), name.casefold()) for pattern in self._denied)

    # --- what a prompt stands for -----------------------------------------------------------------------------------

    async def expand(self, text: str, *, human: bool = True) -> Expansion:
        """What `text` stands for: a command of ours is answered, one from a file is filled in, files named by `@` come
        along, and so does a skill that the prompt is about. With `human` false (composed by a program, or by anyone but
        the person) it is taken as it stands. Never raises for what a file says; unknown names are prompts."""
        if not human:
            return Expansion(text)
        if text.startswith("/"):
            name, _, arguments = text[1:].partition(" ") if " " in text.split("\n")[0] else text[1:].partition("\n")
            found = await self._called(text, name, arguments.strip())
            if found is not None:
                return found
        context = await self._files(text, OPERATOR)
        return Expansion(text, context=(*context, *await self._meant(text)))

    async def _called(self, text: str, name: str, arguments: str) -> Expansion | None:
        if "/" in name:
            return None
        from assay.app.commands import BUILT_IN, answer

        if name in BUILT_IN:
            said, focus = await answer(self.task, self, name, arguments)
            return Expansion(focus, said if not focus else None, name)
        skill = self.stock.skills.get(name)
        if skill is None or not skill.for_user or self.denies(name):
            return None
        if refused := await self._hook(name, arguments, text):
            return Expansion("", f"/{name}: {refused}", name)
        body, label = await self.filled(skill, arguments)
        own = label == OPERATOR and skill.label == OPERATOR
        files = await self._files(body, skill.label)
        # The words of the person are what they typed: what a file says is context, and grants nothing.
        plain = own and not self.task.profile.tools
        return Expansion(
            body if plain else text,
            command=name,
            context=(*(() if plain else (_fragment(skill, body, label),)), *files),
            rules=self._lent(skill),
            model=skill.model if self.trusts(skill) else "",
            effort=skill.effort if self.trusts(skill) else "",
        )

    async def _hook(self, name: str, arguments: str, prompt: str) -> str:
        """Why a hook is against it."""
        hooks = self.task.run.parts.hooks
        if hooks is None or not hooks.listens("UserPromptExpansion"):
            return ""
        data: dict[str, Json] = {"expansion_type": "command", "command_name": name, "command_args": arguments}
        answer = await hooks.fire("UserPromptExpansion", name, {**data, "prompt": prompt})
        self.pending += [Fragment("hook", text) for text in answer.context]
        return answer.stop or answer.reason or "a hook" if answer.decision == "block" or answer.stop else ""

    @contextmanager
    def during(self, said: Expansion) -> Generator[None]:
        """Around the turn for `said`: its context comes along, its rules and its model count, and end with it."""
        run, before = self.task.run, self.task.run.parts.model
        self.pending += said.context
        if said.rules and self.lending:
            self.lending.lend(said.rules)
        if said.model and said.model != "inherit" and self.models:
            try:
                run.use_model(self.models(said.model))
            except AssayError as error:
                run.record(
                    Noticed(f"/{said.command}: model {said.model}: {error}; going on with {before.profile.name}")
                )
        mine, options = run.parts.model, run.options
        if level := read_reasoning(said.effort, None).effort:
            run.options = replace(options, reasoning=replace(options.reasoning, effort=level))
        try:
            yield
        finally:
            run.options = replace(run.options, reasoning=options.reasoning) if level else run.options
            self.pending.clear()
            if self.lending:
                self.lending.end()
            if run.parts.model is mine and mine is not before:
                run.use_model(before)

    # --- skills -----------------------------------------------------------------------------------------------------

    async def load(self, name: str, arguments: str, context: ToolContext, agents: Tool | None = None) -> ToolOutcome:
        """For the Skill tool. A skill with `context: fork` is carried out by a sub-agent, sent out through `agents`,
        where there is that."""
        skill = self.stock.skills.get(name)
        if skill is None or self.denies(name):
            known = ", ".join(each.name for each in self.offered()[:40]) or "none"
            return failed(f"there is no skill '{name[:80]}'. Skills: {known}")
        if not skill.for_model:
            return failed(f"only the user may call {name}; say so, and go on without it")
        body, label = await self.filled(skill, arguments)
        if skill.fork and agents:
            return await self._forked(skill, body, agents, context)
        text = _fragment(skill, body, label).text
        return ToolOutcome((Text(text),), f"skill {name}", {"skill": name, "source": skill.source}, label=label)

    async def _forked(self, skill: Skill, body: str, agents: Tool, context: ToolContext) -> ToolOutcome:
        call: dict[str, Json] = {"description": skill.name, "prompt": body}
        if skill.agent:
            call["subagent_type"] = skill.agent
        if skill.model:
            call["model"] = skill.model
        if skill.background:
            call["run_in_background"] = True
        label = self.task.run.label.join(skill.label)
        decision = await self.task.run.parts.gate.decide("Agent", agents.effects(call), label, call)
        if decision.verdict != "allow":
            return failed(f"{skill.name} needs a sub-agent, and Agent was refused: {decision.reason}")
        return await agents.run(call, context)

    async def brought(self, name: str) -> Fragment | None:
        """The text of a skill that a kind of agent begins with; None when the model may not have it."""
        skill = next((each for each in self.offered() if each.name == name), None)
        if skill is None:
            return None
        body, label = await self.filled(skill, "")
        return _fragment(skill, body, label)

    def about(self, path: str, given: Container[tuple[str, str]]) -> list[Skill]:
        """Skills for certain files that the one at `path`, relative to the working directory, is among; without those
        that were told of already."""
        late = [each for each in self.offered() if each.paths and ("instructions", f"skill {each.name}") not in given]
        if not late:
            return []
        from assay.context.library.rules import matches

        return [skill for skill in late if any(matches(glob, path) for glob in skill.paths)]

    def listing(self) -> Fragment | None:
        """What the model is told of the skills that it may ask for; None when there are none."""
        if not self.stock.skills:
            return None
        from assay.context.library.skills import listing

        return listing(self.offered())

    def offered(self) -> list[Skill]:
        """Skills that the model may ask for."""
        return [each for each in self.stock.skills.values() if each.for_model and not self.denies(each.name)]

    async def filled(self, skill: Skill, arguments: str) -> tuple[str, Label]:
        """The text of a skill with its arguments in and its commands run, and its label."""
        from assay.context.library.template import filled, pieces

        variables = {
            "CLAUDE_SKILL_DIR": skill.folder,
            "CLAUDE_SESSION_ID": self.task.session,
            "CLAUDE_PROJECT_DIR": self.task.run.parts.workspace.root,
        }
        if skill.shelf.plugin:
            variables["CLAUDE_PLUGIN_ROOT"] = str(skill.shelf.path)
        label, text = skill.label, ""
        # Commands are looked for before arguments come in: what is handed over runs nothing by being so.
        parts = pieces(skill.body)
        if self.lending and (rules := self._lent(skill)):
            self.lending.lend(rules)
        left = COMMANDS
        whole = filled("".join(_marked(part.text, part.command, place) for place, part in enumerate(parts)), arguments,
                       skill.arguments, variables)  # fmt: skip
        for place, part in enumerate(parts):
            if not part.command:
                continue
            left -= 1
            line = filled(part.command, "", (), variables)
            text, more = await self._run(line, skill) if left >= 0 else ("[not run: too many commands]", OPERATOR)
            label = label.join(more)
            whole = whole.replace(_mark(place), text)
        return whole, label

    async def _run(self, line: str, skill: Skill) -> tuple[str, Label]:
        """What a command prints, if the gate lets it run; the files are read-only for it."""
        run = self.task.run
        effects = (Effect("execute", line),)
        decision = await run.parts.gate.decide("Bash", effects, run.label.join(skill.label), {"command": line})
        if decision.verdict == "ask":
            from assay.loop.calls import digest_of

            arguments: dict[str, Json] = {"command": line}
            question = Question("", "Bash", arguments, effects, decision, digest_of("Bash", arguments, effects))
            approval = await run.guards.ask(question, run.parts.approver)
            allowed = approval.allowed and approval.arguments in (None, arguments)
        else:
            allowed = decision.verdict == "allow"
        if not allowed:
            run.record(Noticed(f"/{skill.name}: `{line[:200]}` was not run: {decision.reason}"))
            return f"[`{line}` was not run: {decision.reason}]", OPERATOR
        try:
            from shutil import which

            command = Command((which("bash") or "/bin/sh", "-c", line), timeout=SECONDS, limit=SHOWN, read_only=True)
            result = await run.parts.workspace.run(command)
        except AssayError as error:
            return f"[`{line}` failed: {error}]", OPERATOR
        ended = f"\n[exit {result.exit_code}]" if result.exit_code else ""
        label = WORKSPACE.join(decision.label)
        if result.network:
            label = label.join(Label("external", "public"))
        return f"{self._masked(result.output).strip()}{ended}", label

    def _masked(self, text: str) -> str:
        mask = self.task.run.parts.mask
        return mask.text(text) if mask else text

    def trusts(self, skill: Skill) -> bool:
        """The user wrote it, installed it, or trusts it by its content."""
        return skill.shelf.owner != "project" or skill.digest in self._trusted

    def _lent(self, skill: Skill) -> tuple[str, ...]:
        if not skill.tools or self.lending is None:
            return ()
        if not self.trusts(skill):
            if skill.name not in self._told:
                self._told.add(skill.name)
                how = f'to trust this content, add "{skill.digest}" to trustedSettings'
                self.task.run.record(Noticed(f"{skill.source}: ignored allowed-tools, which would loosen; {how}"))
            return ()
        from assay.policy.rules import parse_rules

        kept: list[str] = []
        for rule in skill.tools:
            try:
                parse_rules([rule])
                kept.append(rule)
            except UsageError as error:
                self.task.run.record(Noticed(f"{skill.source}: allowed-tools: {error}"))
        return tuple(kept)

    async def _meant(self, text: str) -> list[Fragment]:
        """The texts of skills that the prompt is about, as far as they need nothing run and were not given yet."""
        offered = [each for each in self.offered() if not each.paths and not each.arguments]
        if not offered or self.task.run.state.open:
            return []
        from assay.context.library.match import meant

        given = self.task.run.state.sources
        found: list[Fragment] = []
        for skill in meant(text, offered):
            if ("skill", skill.name) not in given and "!`" not in skill.body:
                body, label = await self.filled(skill, "")
                found.append(_fragment(skill, body, label))
        return found

    # --- files ------------------------------------------------------------------------------------------------------

    async def _files(self, text: str, label: Label) -> list[Fragment]:
        """The files that `text` names by `@`, as far as the model may read them anyway. What a file of the project
        names has to lie in the project."""
        if "@" not in text:
            return []
        from assay.context.library.template import files_named

        run, room = self.task.run, FILES
        root = Path(run.parts.workspace.root)
        found: list[Fragment] = []
        for name in files_named(text):
            path = Path(name).expanduser() if name.startswith("~/") else root / name
            if not path.exists() or (label != OPERATOR and not path.resolve().is_relative_to(root)):
                continue
            decision = await run.parts.gate.decide("Read", (Effect("read", str(path)),), run.label.join(label))
            if decision.verdict != "allow":
                run.record(Noticed(f"@{name} was not read: {decision.reason}"))
                continue
            body = self._masked(await asyncio.to_thread(_content, path, min(FILE, room)))
            room -= len(body)
            if room <= 0:
                run.record(Noticed(f"@{name} and what follows was left out: more than {FILES:,} characters"))
                break
            said = f'<file path="{name}">\n{body}\n</file>'
            found.append(Fragment("reference", said, str(path), label=WORKSPACE.join(decision.label)))
        return found

    def record_pending(self) -> None:
        """Put what is to come along before the model."""
        while self.pending:
            each = self.pending.pop(0)
            self.task.run.record(ContextAdded(each.owner, each.text, each.source, each.label))


def _fragment(skill: Skill, body: str, label: Label) -> Fragment:
    said = f'<skill name="{skill.name}" folder="{skill.folder}">\n{body}\n</skill>'
    return Fragment("skill", said, skill.name, label=label)


def _mark(place: int) -> str:
    return f"\x00{place}\x00"


def _marked(text: str, command: str, place: int) -> str:
    return _mark(place) if command else text


def _content(path: Path, room: int) -> str:
    try:
        if path.is_dir():
            names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in path.iterdir())
            return "\n".join(names[:300])
        with path.open("rb") as file:
            data = file.read(4 * room + 1)
    except OSError as error:
        return f"[cannot be read: {error.strerror}]"
    if b"\0" in data:
        return "[not text]"
    text = data.decode("utf-8", "replace")
    return text if len(text) <= room else f"{text[:room]}\n[... cut at {room:,} characters; read the rest]"
