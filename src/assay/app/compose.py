"""Assembly: from what a surface wishes for to a run that is ready to take a turn. Only here is every room known."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay._version import __version__
from assay.app.agents import Outfitter, attach, read_agents
from assay.app.attempts import Attempts, read_attempts
from assay.app.companion import Companion
from assay.app.config import Settings, find_compat, load_settings, parse_sources
from assay.app.hooks import end, make_hooks, tie
from assay.app.kept import Kept, hidden_paths
from assay.app.lent import Lending
from assay.app.library import Library
from assay.app.limits import limits_of
from assay.app.mcp import open_servers
from assay.app.model import catalog_of, check_cascade, make_model
from assay.app.models import Models
from assay.app.paths import Paths, claude_home, claude_places, find_paths
from assay.app.reasoning import read_reasoning
from assay.app.resume import follow, open_sessions, open_store
from assay.app.rulefile import rules_of
from assay.app.shelf import denied_skills, if_resolved, offers_skills, reach_of
from assay.app.stock import Stock, shelves_of, take_stock
from assay.app.task import Task, Wish
from assay.app.variables import bounded, on, whole
from assay.app.web import make_search, make_web
from assay.context.instructions import Reader
from assay.context.prompt import system_text
from assay.core.budget import Budget
from assay.core.clock import Clock, SystemClock
from assay.core.context import Fragment
from assay.core.egress import Host
from assay.core.errors import SandboxUnavailable, UsageError
from assay.core.model import Model
from assay.core.policy import Mask, Question
from assay.core.tool import ToolContext, ToolOutcome
from assay.models.client import HttpModel
from assay.policy.gate import PERMISSION_MODES, Bounds, PermissionMode, RuleGate
from assay.run.asked import Asked, Once
from assay.run.run import Run, RunOptions, RunParts
from assay.run.toolset import Toolset
from assay.sessions.fold import Status, fold
from assay.sessions.index import Sessions, project_key
from assay.sessions.log import SessionLog
from assay.tools.tasks import Background
from assay.tools.toolbox import toolbox
from assay.workspace.local import Beside, LocalWorkspace
from assay.workspace.sandbox.bubblewrap import Bubblewrap
from assay.workspace.sandbox.find import find_sandbox
from assay.workspace.sandbox.port import Engine, NoSandbox, Sandbox

if TYPE_CHECKING:
    from assay.app.egress import Attached
    from assay.workspace.sandbox.egress.proxy import Egress
    from assay.workspace.sandbox.port import Limits


@contextlib.asynccontextmanager
async def open_task(wish: Wish) -> AsyncGenerator[Task]:
    """Assemble everything for one task and take it apart again. Raises `AssayError` for what cannot be had."""
    async with contextlib.AsyncExitStack() as stack:
        yield await _Assembly(wish, stack).task()


class _Assembly:
    """The parts of one task, in the order in which they need each other; `stack` takes them apart."""

    def __init__(self, wish: Wish, stack: contextlib.AsyncExitStack) -> None:
        self.stack, self.clock = stack, SystemClock()
        self.paths = find_paths(wish.environ)
        self.sources = parse_sources(wish.setting_sources)
        compat = find_compat(claude_home(wish.environ), wish.directory)
        self.settings, self.notices = load_settings(
            self.paths.settings, wish.directory, self.sources, wish.settings, compat=compat
        )
        if compat and compat.variables:
            wish = replace(wish, environ={**compat.variables, **wish.environ})
        self.wish, self.compat_model = wish, compat.model if compat else None
        shelves = shelves_of(wish.directory, self.paths, wish.environ, self.sources)
        self.stock = take_stock(shelves, self.settings, self.paths, wish.plugin_dirs, plugins="user" in self.sources)
        self.notices += self.stock.notices
        self.sandbox = _sandbox(self.paths, wish.environ, engine_of(self.settings), no_sandbox=wish.no_sandbox)
        self.kept = Kept()
        self.background = Background()

    async def task(self) -> Task:
        wish, settings, stack = self.wish, self.settings, self.stack
        sessions = Sessions(self.paths.state, version=__version__, clock=self.clock)
        model, models = self._models(sessions)
        kept_in = open_sessions(sessions, wish, stack)
        store = open_store(kept_in, wish)
        stack.callback(store.close)
        approved = _approved(wish, store, self.clock)
        spill = str(store.spill)
        gate = make_gate(wish, settings, self.paths, self.kept, confined=self.sandbox is not None, readable=(spill,))
        workspace, attached = await self._workspace(store, gate)
        reader = Reader(wish.directory, reach_of(wish, self.paths, settings, self.sources, self.stock, gate))
        library = Library(self.stock, frozenset(settings.trusted_settings), denied_skills(settings, wish))
        offered = offers_skills(library, wish, model)
        hooks = make_hooks(settings, wish, self.notices, self.stock.hooks)
        parts = RunParts(
            store,
            model,
            workspace,
            self._toolset(model, gate, None if offered is None else library, spill, lambda: run),
            gate,
            self.clock,
            (wish.host.approver if wish.host else None) or Once(question.digest for question in approved),
            spill,
            _mask(wish, settings),
            hooks,
        )
        style = (self.stock.style_text,) if self.stock.style_text else ()
        instructions = (*reader.begin(), *style, *(offered or ()))
        self.notices += reader.notices
        run = Run(parts, _options(wish, settings, instructions, self.stock))
        run.watchers.append(Companion(run, library, reader, wish.directory))
        if attached:
            attached.run = run

        def new_store() -> SessionLog:
            fresh = kept_in.create(str(wish.directory))
            stack.callback(fresh.close)
            return fresh

        task = Task(run, model, wish, self.notices, new_store, approved)
        task.models, task.gate, task.hooks, task.library = models, gate, hooks, library
        task.attempts = self._attempts(run, library, reader)
        library.serve(task, Lending(gate), models.get)
        follow(task, store)
        await self._company(task, run, models, gate, workspace)
        if task.outfit:
            task.outfit.use_library(library, reader)
            self.notices += task.outfit.unused
        return task

    def _models(self, sessions: Sessions) -> tuple[Model, Models]:
        wish, settings = self.wish, self.settings
        name = wish.model or _model_before(sessions, wish) or settings.model
        if name is None and self.compat_model:
            name = if_resolved(self.compat_model, wish, settings, self.notices)

        def made(other: str | None) -> Model:
            return make_model(other, wish, settings, self.paths, self.clock, self.notices)

        check_cascade(settings)
        model = made(name)
        models = Models(model, made, frozenset(settings.aliases))
        self.stack.push_async_callback(models.aclose)
        _warm(model, self.stack)
        return model, models

    def _attempts(self, run: Run, library: Library, reader: Reader) -> Attempts:
        wish, settings = self.wish, self.settings

        def opened(name: str) -> Model:
            # Where the first model is reached says nothing about others, and of those none stands in for another.
            alone = replace(wish, base_url=None, api_key_env=None, dialect=None, fallback=())
            alone_in = replace(settings, fallback_model=())
            model = make_model(name.strip(), alone, alone_in, self.paths, self.clock, self.notices)
            self.stack.push_async_callback(model.aclose)
            return model

        def prepare(attempt: Run) -> None:
            attempt.watchers.append(Companion(attempt, library, Reader(wish.directory, reader.reach), wish.directory))

        return Attempts(run, wish.fallback or settings.fallback_model, settings.cascade, opened, prepare)

    async def _workspace(self, store: SessionLog, gate: RuleGate) -> tuple[LocalWorkspace, Attached | None]:
        wish, settings = self.wish, self.settings
        beside = _beside(wish, settings, store, gate)
        attached, egress = None, None
        if settings.egress and self.sandbox:
            attached, egress = _egress(wish, settings, self.paths, store)
        if egress and not (isinstance(self.sandbox, Bubblewrap) and self.sandbox.resident):
            self.notices.append("egress: this sandbox has no port for the proxy: commands reach no host")
        if egress:
            self.stack.push_async_callback(egress.aclose)
        limits = limits_of(settings.limits)
        workspace = await self.stack.enter_async_context(
            _workspace(wish.directory, self.paths, wish.environ, self.sandbox, beside, egress, limits)
        )
        self.kept.workspace = workspace
        if not workspace.confined:
            self.notices.append("commands run UNCONFINED (--no-sandbox)")
        return workspace, attached

    def _toolset(
        self, model: Model, gate: RuleGate, library: Library | None, spill: str, run: Callable[[], Run]
    ) -> Toolset:
        wish, settings = self.wish, self.settings
        box = toolbox(
            wish.tools,
            wish.disallowed,
            hides=gate.hides,
            read_only=lambda: gate.mode == "plan",
            background=self.background,
            web=make_web(settings.egress, wish.environ, spill, run),
            search=make_search(settings.search, wish.environ) if settings.search else None,
        )
        tools = Toolset(bounded(box.tools, wish.environ), box.deferred)
        if wish.schema is not None and model.profile.tools and wish.schema.get("type") == "object":
            from assay.tools.structured import StructuredOutputTool

            tools.add(StructuredOutputTool(wish.schema))
        if library:
            from assay.tools.skill import SkillTool

            def load(name: str, arguments: str, context: ToolContext) -> Awaitable[ToolOutcome]:
                return library.load(name, arguments, context, run().tools.get("Agent"))

            tools.add(SkillTool(load))
        return tools

    async def _company(self, task: Task, run: Run, models: Models, gate: RuleGate, workspace: LocalWorkspace) -> None:
        """What a task has beside its run: sub-agents, servers, permissions that change, hooks."""
        wish, settings, stack, spill = self.wish, self.settings, self.stack, run.parts.spill
        outfit = Outfitter(
            models.get,
            settings.aliases,
            wish.environ,
            partial(_stricter, wish, settings, self.paths, self.kept, workspace.confined, spill),
            lambda quiet, its: bounded(
                toolbox(
                    wish.tools,
                    wish.disallowed,
                    hides=gate.hides,
                    read_only=lambda: quiet() or gate.mode == "plan",
                    background=its,
                ).tools,
                wish.environ,
            ),
            self.clock,
        )
        outfit.define(self.stock.agents)
        outfit.define(read_agents(wish.agents))
        outfit.define(read_agents(wish.host.offered.get("agents")) if wish.host else ())
        task.outfit = outfit
        task.tasks = tasks = attach(run, outfit, self.background, wish.tools, wish.disallowed)
        stack.push_async_callback(tasks.aclose)
        servers = open_servers(wish, settings, self.paths, run, self.notices, self.stock.servers)
        task.mcp = await stack.enter_async_context(servers)
        if task.hooks or gate.attended:
            from assay.app.permissions import Permissions

            task.permissions = permissions = Permissions(task, gate, workspace, self.paths)
            stack.callback(permissions.keep)
        if gate.attended:
            from assay.app.dialogs import add_dialogs

            add_dialogs(task, gate, self.paths)
        if wish.session is not None and wish.permission_mode is None:
            task.resume_mode()
        if task.hooks:
            tie(task.hooks, task, "fork" if wish.fork else "startup" if wish.session is None else "resume")
            stack.push_async_callback(end, task.hooks, task)


def _options(wish: Wish, settings: Settings, instructions: tuple[Fragment, ...], stock: Stock) -> RunOptions:
    base = wish.system if wish.system is not None or not stock.styles else stock.system(system_text())
    return RunOptions(
        system_text(base, wish.append_system),
        instructions,
        _budget(wish, settings),
        read_reasoning(wish.effort or settings.effort, wish.thinking or settings.thinking),
        wish.schema,
        (*settings.checks, *wish.checks),
        settings.unprotected,
        settings.protected,
        whole(wish.environ, "CLAUDE_CODE_MAX_OUTPUT_TOKENS"),
        "never"
        if on(wish.environ, "DISABLE_COMPACT")
        else "asked"
        if on(wish.environ, "DISABLE_AUTO_COMPACT")
        else "auto",
        read_attempts(wish.attempts or settings.attempts),
    )


@contextlib.asynccontextmanager
async def open_workspace(
    directory: Path, paths: Paths, environ: Mapping[str, str], *, no_sandbox: bool
) -> AsyncGenerator[LocalWorkspace]:
    """The workspace of a directory, its commands confined. Raises `SandboxUnavailable` when that is not possible and
    `no_sandbox` was not said."""
    settings, _ = load_settings(paths.settings, directory, frozenset({"user"}))
    sandbox = _sandbox(paths, environ, engine_of(settings), no_sandbox=no_sandbox)
    async with _workspace(directory, paths, environ, sandbox, Beside()) as workspace:
        yield workspace


def engine_of(settings: Settings) -> Engine | None:
    """The container engine that the user wants; None for what the system has."""
    wanted = settings.sandbox
    return Engine(wanted.engine, wanted.image) if wanted.backend == "container" else None


def _sandbox(paths: Paths, environ: Mapping[str, str], engine: Engine | None, *, no_sandbox: bool) -> Sandbox | None:
    found = None if no_sandbox else find_sandbox(paths.state, environ, engine)
    if isinstance(found, NoSandbox):
        raise SandboxUnavailable(f"{found.reason}; or run commands unconfined with --no-sandbox")
    return found


@contextlib.asynccontextmanager
async def _workspace(
    directory: Path,
    paths: Paths,
    environ: Mapping[str, str],
    sandbox: Sandbox | None,
    beside: Beside,
    egress: Egress | None = None,
    limits: Limits | None = None,
) -> AsyncGenerator[LocalWorkspace]:
    state = paths.state / "workspaces" / project_key(str(directory))
    workspace = LocalWorkspace(
        directory, sandbox=sandbox, state_dir=state, environ=environ, beside=beside, egress=egress, limits=limits
    )
    try:
        yield workspace
    finally:
        await workspace.aclose()


def _egress(wish: Wish, settings: Settings, paths: Paths, store: SessionLog) -> tuple[Attached, Egress | None]:
    """The proxy through which commands reach the hosts of the settings, and what ties it to the run."""
    from assay.app.egress import Attached, make_egress, read_egress

    asked, attached = read_egress(settings.egress), Attached(Path(store.spill))
    held = {host.credential.env for host in asked.hosts.values() if host.credential} & {*settings.environment}
    if held:
        raise UsageError(f"environment: {min(held)} is a credential of egress.hosts, which no command may hold")
    return attached, make_egress(asked, wish.environ, paths.state / "egress", attached)


def _mask(wish: Wish, settings: Settings) -> Mask | None:
    """What keeps the secrets among our variables from the model and the log: keys of models, credentials of egress, and
    all that look like one."""
    from assay.policy.tripwire import known_secrets

    named = {wish.api_key_env or ""}
    if settings.providers:
        named |= {key.name for provider in catalog_of(settings).providers.values() for key in provider.keys}
    named |= {host.credential.env for host in _hosts(settings).values() if host.credential}
    secrets = known_secrets(wish.environ, named)
    if not secrets:
        return None
    from assay.policy.mask import SecretMask

    return SecretMask(secrets)


def _beside(wish: Wish, settings: Settings, store: SessionLog, gate: RuleGate) -> Beside:
    """What is in reach outside the workspace: added directories, and this session's spilled output to read; and what
    within it is not, because a rule keeps it from the model."""
    added = (*settings.permissions.additional_directories, *wish.add_dirs)
    directories = tuple(_directory(path, wish.directory) for path in added)
    hidden = hidden_paths(str(wish.directory.resolve()), gate.hides) if gate.hides_any else ()
    return Beside(directories, (str(store.spill),), settings.environment, hidden)


def _directory(path: str, base: Path) -> str:
    found = (base / Path(path).expanduser()).resolve()
    if not found.is_dir():
        raise UsageError(f"--add-dir: {path} is not a directory")
    return str(found)


def _model_before(sessions: Sessions, wish: Wish) -> str | None:
    """The model that the session to go on with used last: its contents go to no provider that the user did not name."""
    if wish.session is None or wish.base_url:
        return None
    status = Status()
    with contextlib.suppress(UsageError):  # it may lie elsewhere, or nowhere, which is told later
        fold(sessions.read(wish.session or sessions.latest(str(wish.directory))).records(), status)
    return status.model or None


def make_gate(
    wish: Wish, settings: Settings, paths: Paths, kept: Kept, *, confined: bool, readable: tuple[str, ...] = ()
) -> RuleGate:
    """The gate of a run in `wish.directory`."""
    said = settings.permissions
    asked: PermissionMode | None = next((mode for mode in PERMISSION_MODES if mode == wish.permission_mode), None)
    mode = asked or said.default_mode or "default"
    hosts = _hosts(settings)
    bounds = Bounds(
        os.path.realpath(wish.directory),
        added=tuple(_directory(path, wish.directory) for path in (*said.additional_directories, *wish.add_dirs)),
        readable=readable,
        confined=confined,
        unconfined_ok=wish.no_sandbox,
        commands_read_only=True,
        attended=wish.host is not None and wish.host.approver is not None,
        ours=(str(paths.config), str(paths.state), str(paths.data), *claude_places(wish.environ)),
        hosts=tuple(hosts),
        cleared=tuple(name for name, host in hosts.items() if host.kind == "mirror" or host.clearance),
    )
    rules = rules_of(said, wish.allowed, wish.disallowed)
    return RuleGate(bounds, mode, rules, kept=kept)


def _stricter(
    wish: Wish, settings: Settings, paths: Paths, kept: Kept, confined: bool, spill: str, mode: PermissionMode
) -> RuleGate:
    """The gate of a sub-agent whose kind names a mode."""
    wish = replace(wish, permission_mode=mode)
    return make_gate(wish, settings, paths, kept, confined=confined, readable=(spill,))


def _hosts(settings: Settings) -> dict[str, Host]:
    if not settings.egress:
        return {}
    from assay.app.egress import read_egress

    return read_egress(settings.egress).hosts


def _warm(model: Model, stack: contextlib.AsyncExitStack) -> None:
    """The authorities of TLS are parsed in a thread while the rest is put together."""
    if isinstance(model, HttpModel):
        stack.callback(asyncio.create_task(model.warm()).cancel)


def _approved(wish: Wish, store: SessionLog, clock: Clock) -> list[Question]:
    """The questions that `--approve` answers. Raises `UsageError` for a digest that answers none."""
    if not wish.approve:
        return []
    if wish.session is None or wish.fork:
        raise UsageError("--approve goes with --resume ID or --continue, and not with --fork-session")
    asked = Asked()
    fold(store.records(), asked)
    return [asked.find(prefix, clock.now()) for prefix in wish.approve]


def _budget(wish: Wish, settings: Settings) -> Budget:
    asked = wish.budget
    return Budget(
        asked.steps or settings.max_turns,
        asked.tokens or settings.max_tokens_total,
        asked.dollars or settings.max_budget_usd,
        asked.seconds or settings.max_seconds,
    )
