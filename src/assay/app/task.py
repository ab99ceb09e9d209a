"""One task in the hands of a surface: what was wished for, and the run that carries it out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, json
from msgspec.structs import replace

from assay._version import __version__
from assay.app.host import Host, Library, Permissions, Servers, Tasks
from assay.app.messages.messages import Messages
from assay.app.models import Models
from assay.app.reasoning import read_reasoning
from assay.app.strategy import strategy_for
from assay.context.prompt import attachment
from assay.core.budget import Budget
from assay.core.errors import InvalidArguments, UsageError
from assay.core.events import ContextAdded, ModeChanged, Noticed, TurnEnded
from assay.core.ids import new_id
from assay.core.messages import Image, Json, Text
from assay.core.model import Model, Profile
from assay.core.policy import EXTERNAL, OPERATOR, Label, Question
from assay.core.spawn import Wake
from assay.policy.bounds import PERMISSION_MODES, PermissionMode
from assay.policy.gate import RuleGate
from assay.run.answer import StructuredAnswer
from assay.run.rewind import Rewinding
from assay.run.run import Run, Strategy
from assay.sessions.log import SessionLog

if TYPE_CHECKING:
    from assay.app.agents import Outfitter
    from assay.app.attempts import Attempts
    from assay.policy.hooks.engine import HookEngine
    from assay.sessions.claude.writer import Transcript


class Wish(Struct, frozen=True):
    """What a surface asks for. None means "not said": settings and then defaults decide."""

    directory: Path
    environ: dict[str, str]
    model: str | None = None
    fallback: tuple[str, ...] = ()
    base_url: str | None = None
    api_key_env: str | None = None
    dialect: str | None = None
    permission_mode: str | None = None
    allowed: tuple[str, ...] = ()
    disallowed: tuple[str, ...] = ()
    tools: tuple[str, ...] | None = None
    budget: Budget = Budget()
    system: str | None = None
    append_system: str = ""
    add_dirs: tuple[str, ...] = ()
    settings: str | None = None
    setting_sources: str | None = None
    schema: dict[str, Json] | None = None
    effort: str | None = None
    thinking: str | None = None
    attempts: int | None = None
    """Attempts at a turn at most."""
    checks: tuple[str, ...] = ()
    mcp_config: tuple[str, ...] = ()
    strict_mcp: bool = False
    no_sandbox: bool = False
    session: str | None = None
    """A session to go on with; "" for the newest of this directory; None for a new one."""
    fork: bool = False
    piped: bool = False
    """The prompt itself came in through a pipe."""
    session_id: str = ""
    """What the new session is to be called."""
    resume_at: str | None = None
    """The uuid of the last message of that session that counts."""
    resume_drops: str | None = None
    """The uuid of the user's message that is thereby dropped; another is an error. Empty: none may be dropped."""
    bypass_allowed: bool = False
    """Mode bypassPermissions may be switched to."""
    prompt_tool: str = ""
    """Who is asked: `stdio`, or an MCP tool."""
    agents: str | None = None
    plugin_dirs: tuple[str, ...] = ()
    mirror: bool = False
    """Transcript lines go to the host, too."""
    host: Host | None = None
    """The program that drives us."""
    persist: bool = True
    """False: nothing of the session stays behind."""
    approve: tuple[str, ...] = ()
    """Digests, or beginnings of them, of questions of that session to which the answer is yes, once."""


AGENTS_PATIENCE = 600.0
COMMANDS_PATIENCE = 5.0
"""Seconds that a program that is done waits for what goes on in the background."""
_TROUBLE = frozenset({"usage", "auth", "unavailable", "storage", "no_sandbox"})


class Task:
    """A run with what a surface needs around it."""

    def __init__(
        self,
        run: Run,
        model: Model,
        wish: Wish,
        notices: list[str],
        new_store: Callable[[], SessionLog],
        approved: Sequence[Question] = (),
    ):
        self.run = run
        self.wish = wish
        self._approved = approved
        self._new_store = new_store
        self._piped = wish.piped
        self._reasoning = run.options.reasoning
        self.notices = notices
        self.answer = StructuredAnswer(wish.schema) if wish.schema is not None else None
        self.version = __version__
        self._model = model
        self.transcript: Transcript | None = None
        """What tells this session to programs that read transcripts."""
        self.attempts: Attempts | None = None
        """What makes further attempts at a turn."""
        self.models: Models | None = None
        """The models that may be switched to; None when there is no choice."""
        self.gate: RuleGate | None = None
        self.messages = Messages(self.session, lambda: self.profile)
        """The session as public messages; whoever wants them subscribes."""
        self.messages.follow(run.bus)
        # What helps a session and what a host can ask for; None where there is nothing.
        self.tasks: Tasks | None = None
        self.outfit: Outfitter | None = None
        """The kinds of agents that there are; more can be defined."""
        self.mcp: Servers | None = None
        self.library: Library | None = None
        self.permissions: Permissions | None = None
        self.hooks: HookEngine | None = None

    @property
    def session(self) -> str:
        return self.run.parts.store.session

    @property
    def profile(self) -> Profile:
        return self._model.profile

    @property
    def mode(self) -> str:
        """The permission mode."""
        return self.gate.mode if self.gate else self.wish.permission_mode or "default"

    def lend(self, path: str) -> None:
        """Leave was given for a file outside the workspace; absolute, or relative to it."""
        from assay.workspace.local import LocalWorkspace

        workspace = self.run.parts.workspace
        if isinstance(workspace, LocalWorkspace):
            workspace.lend(os.path.join(workspace.root, path))  # noqa: PTH118

    def may_use(self, mode: str) -> PermissionMode:
        """A permission mode, by its name. Raises `UsageError` for one that is none, or may not be had."""
        mode = "default" if mode == "manual" else mode
        wanted: PermissionMode | None = next((known for known in PERMISSION_MODES if known == mode), None)
        if wanted is None or self.gate is None:
            raise UsageError(f"permission mode '{mode}': one of {', '.join(PERMISSION_MODES)}")
        launched = self.wish.bypass_allowed or self.wish.permission_mode == "bypassPermissions"
        if wanted == "bypassPermissions" and not launched and self.gate.mode != wanted:
            raise UsageError(
                "bypassPermissions can't be switched to: start with --allow-dangerously-skip-permissions for that"
            )
        return wanted

    def set_mode(self, mode: str) -> None:
        """Use a permission mode from the next call on. Raises `UsageError` for one that is none, or may not be had."""
        wanted = self.may_use(mode)
        if self.gate and wanted != self.gate.mode:
            self.gate.use_mode(wanted)
            self.run.record(ModeChanged(wanted))

    def resume_mode(self) -> None:
        """Go on in the mode that the session was in last, if that may still be had."""
        with contextlib.suppress(UsageError):
            if self.gate and self.run.state.mode:
                self.gate.use_mode(self.may_use(self.run.state.mode))

    def allow(self, updates: list[dict[str, Json]]) -> None:
        """Change permissions as an answer to a question wants it; what can't be done is told."""
        try:
            if self.permissions:
                self.permissions.update(updates)
        except UsageError as error:
            self.run.record(Noticed(f"permissions not changed: {error}"))

    def set_model(self, name: str | None) -> str:
        """Use a model from the next request on; None or `default` for that of the start. Returns its full name. Raises
        `UsageError` or `AuthError` for one that can't be had."""
        if self.models is None:
            raise UsageError("the model of this session can't be changed")
        self._model = self.models.get(name)
        self.run.use_model(self._model)
        return self._model.profile.name

    @property
    def confined(self) -> bool:
        return self.run.parts.workspace.confined

    def set_thinking(self, thinking: str | None) -> None:
        """Think as `--thinking` has it from the next request on; None for what was said at the start."""
        reasoning = read_reasoning(self.wish.effort, thinking) if thinking else self._reasoning
        self.run.options = replace(self.run.options, reasoning=reasoning)

    async def say(
        self,
        parts: tuple[Text | Image, ...],
        *,
        uuid: str = "",
        origin: dict[str, Json] | None = None,
        label: Label | None = None,
    ) -> TurnEnded:
        """One turn for a message of a host: `uuid` is what it calls it, `origin` where it says it comes from, `label`
        how far its words count (from how they look when None)."""
        return await self.run.turn(parts, self._strategy(), label, uuid=uuid or new_id(), origin=origin)

    def _strategy(self) -> Strategy | None:
        """That of the model's profile, and what follows where the gate is not content with it."""
        strategy = strategy_for(self.profile)
        return self.attempts.behind(strategy) if self.attempts else strategy

    async def turn(self, prompt: str, attached: str = "") -> TurnEnded:
        """One turn, by the strategy that follows from the model's profile. `attached` came in through a pipe. Without a
        prompt, a turn that was cut short is gone on with."""
        parts: tuple[Text, ...] = (Text(prompt),) if prompt.strip() else ()
        if parts and attached.strip():
            parts = (*parts, Text(attachment(attached)))
        if self._approved and not parts and not self.run.state.open:
            parts = (Text("Make the call that I approved, then finish what it was for."),)
        if not parts and not self.run.state.open:
            raise UsageError("this session has no unfinished turn to go on with; give a prompt")
        for question in self._approved:
            self.run.record(ContextAdded("approval", _leave(question), label=OPERATOR))
        label = EXTERNAL if parts and self._piped else None
        return await self.run.turn(parts, self._strategy(), label, uuid=new_id())

    async def next_wake(self) -> Wake | None:
        """For a program that ends when its work is done: what in the background has ended since, waited for as long as
        an agent works, at most ten minutes (`CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS`, 0 for as long as it takes), and a
        few seconds for commands."""
        if self.tasks is None or (not self.tasks.listing() and not self.tasks.pending):
            return None
        said = self.wish.environ.get("CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS", "")
        ceiling = int(said) / 1000 if said.isascii() and said.isdigit() and len(said) < 12 else AGENTS_PATIENCE
        ceiling = ceiling or 7 * 86_400.0
        return await self.tasks.next_wake(ceiling, min(ceiling, COMMANDS_PATIENCE))

    def conclude(self, ended: TurnEnded) -> dict[str, Json]:
        """The result object of a turn, which whoever listens to `messages` gets, too."""
        denials, by = self.run.state.denials, self.run.hooked.ended_by if self.run.hooked else ""
        return self.messages.end(ended, denials, self.structured(ended), self.questions(), hook=by)

    async def rewind(
        self, to: str = "", *, files: bool = True, conversation: bool = True, dry: bool = False
    ) -> Rewinding:
        """Go back to before the turn `to` (a message's id, a turn's, or its place; the last one when empty). Raises
        `UsageError` and `WorkspaceError`."""
        self._between_turns("rewinding")
        from assay.run.rewind import rewind

        return await rewind(self.run, to, files=files, conversation=conversation, dry=dry)

    async def compact(self, focus: str = "") -> bool:
        """Compact now; `focus` is kept in mind. False when nothing is gained by it."""
        self._between_turns("compacting")
        if self.run.options.compaction == "never":
            raise UsageError("compaction is switched off (DISABLE_COMPACT)")
        return await self.run.compact(focus)

    async def clear(self) -> str:
        """Begin a new session in this place; returns its id. The old one stays as it is."""
        self._between_turns("clearing")
        if self.run.hooked:
            await self.run.hooked.end("clear")
        store = self._new_store()
        self.run.renew(store)
        if self.transcript:
            self.transcript.renew(store.session, store.records)
        self.messages.session = self.session
        if self.run.hooked:
            await self.run.hooked.begin_anew("clear")
        return self.session

    def context_usage(self) -> dict[str, Json]:
        """What fills the window now, by category, for programs (claude-agent-sdk, `get_context_usage`)."""
        from assay.app.usage import context_usage

        return context_usage(self.run)

    def _between_turns(self, what: str) -> None:
        if self.run.busy:
            raise UsageError(f"a turn is under way; interrupt it before {what}")

    def structured(self, ended: TurnEnded) -> Json:
        """The answer in the shape that was asked for; None when none was, or it did not come."""
        if self.run.state.structured is not None or self.answer is None:
            return self.run.state.structured
        try:
            return self.answer.read(ended.text)
        except InvalidArguments:
            return None

    def questions(self) -> list[dict[str, Json]]:
        """What this turn asked and nobody answered, for programs."""
        from assay.app.questions import question_object

        workspace = self.run.parts.workspace
        return [question_object(question, self.session, workspace) for question in self.run.state.questions]

    def summary(self, ended: TurnEnded) -> list[str]:
        """What a person wants to read under the answer: outcome, evidence, what was not checked."""
        from assay.verify.table import evidence_table

        verdict = ended.verdict
        word = "error" if verdict.outcome in _TROUBLE else verdict.outcome
        lines = [f"{word}: {verdict.why}"]
        if verdict.evidence:
            lines += evidence_table(verdict.evidence)
        lines += [f"not checked: {item if len(item) < 300 else item[:299] + '…'}" for item in verdict.unchecked]
        if verdict.diff.files:
            diff = verdict.diff
            lines.append(f"changed {diff.files} file{'s' if diff.files != 1 else ''}, +{diff.added} -{diff.removed}")
        if verdict.diff.protected:
            lines.append(f"protected paths changed without leave: {', '.join(verdict.diff.protected)}")
        for question in self.run.state.questions:
            from assay.app.questions import question_lines

            lines += question_lines(question, self.session, self.run.parts.workspace)
        if choice := self.run.state.choice:
            made = f"{choice.made} attempt{'s' if choice.made != 1 else ''}"
            first = "passed" if choice.first_passed else "failed"
            taken = f"{choice.number} was taken" if choice.number else "none was taken"
            lines.append(f"{made}: first {first}, {taken}: {choice.why}")
        spent = self.run.state.spent
        cost = "" if ended.dollars is None else f", ${ended.dollars:.4f}"
        steps = f"{ended.steps} step{'s' if ended.steps != 1 else ''}"
        lines.append(f"{steps}, {spent.usage.total:,} tokens{cost}, {ended.seconds:.1f} s")
        if self.run.receipt:
            lines.append(f"receipt: {self.run.receipt}")
        lines.append(f"session: {self.session}")
        if verdict.outcome == "interrupted" and self.run.state.touched:
            back, on = f"assay rewind --session {self.session}", f"assay --resume {self.session}"
            lines.append(f"what was changed stays; to take it back: {back}; to go on: {on}")
        return lines

    def interrupt_on_signals(self) -> None:
        """From now on the first Ctrl-C, TERM or hang-up ends the turn in order; a second one ends the process at once,
        children included. To be called inside the running loop."""
        loop = asyncio.get_running_loop()
        seen: list[int] = []

        def caught(number: int, _frame: object) -> None:
            seen.append(number)
            if len(seen) > 1:
                self.run.parts.workspace.kill()
                if self.mcp:
                    self.mcp.kill()
                if self.hooks:
                    self.hooks.kill()
                os._exit(130)
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.run.interrupt)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Not the loop's own handlers: those go with the loop, and a second signal would then spoil a clean exit.
            # A hang-up that nohup made us deaf to stays unheard; a Ctrl-C that a background job ignores is meant here.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, caught)


def _leave(question: Question) -> str:
    arguments = json.encode(question.arguments).decode()
    return (
        f"The user approved this call, once, exactly as it was asked: {question.tool} {arguments[:8_000]}\n"
        "Make it again now with the very same arguments; any other call is judged anew."
    )
