"""Assembly: from what a surface wishes for to a run that is ready to take a turn. Only here is every room known."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay._version import __version__
from assay.app.companion import Companion
from assay.app.config import Settings, find_compat, load_settings, parse_sources
from assay.app.hooks import end, make_hooks, tie
from assay.app.kept import Kept, hidden_paths
from assay.app.lent import Lending
from assay.app.library import Library
from assay.app.limits import limits_of
from assay.app.messages.cut import cut_at
from assay.app.model import catalog_of, make_model
from assay.app.models import Models
from assay.app.paths import Paths, claude_home, find_paths
from assay.app.rulefile import rules_of
from assay.app.shelf import denied_skills, if_resolved, offers_skills, reach_of
from assay.app.stock import Stock, shelves_of, take_stock
from assay.app.task import Task, Wish
from assay.context.instructions import Reader
from assay.context.prompt import system_text
from assay.core.budget import Budget
from assay.core.clock import Clock, SystemClock
from assay.core.context import Fragment
from assay.core.egress import Host
from assay.core.errors import SandboxUnavailable, UsageError
from assay.core.events import Rewound
from assay.core.model import EFFORTS, Effort, Model, Reasoning
from assay.core.policy import Mask, Question
from assay.models.client import HttpModel
from assay.policy.gate import PERMISSION_MODES, Bounds, PermissionMode, RuleGate
from assay.run.asked import Asked, Once
from assay.run.run import Run, RunOptions, RunParts
from assay.run.toolset import Toolset
from assay.sessions.fold import Status, fold
from assay.sessions.index import Sessions, project_key
from assay.sessions.log import SessionLog
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
    paths, clock = find_paths(wish.environ), SystemClock()
    sources = parse_sources(wish.setting_sources)
    compat = find_compat(claude_home(wish.environ), wish.directory)
    settings, notices = load_settings(paths.settings, wish.directory, sources, wish.settings, compat=compat)
    if compat and compat.variables:
        wish = replace(wish, environ={**compat.variables, **wish.environ})
    shelves = shelves_of(wish.directory, paths, wish.environ, sources)
    stock = take_stock(shelves, settings, paths, wish.plugin_dirs, plugins="user" in sources)
    notices += stock.notices
    sandbox = _sandbox(paths, wish.environ, engine_of(settings), no_sandbox=wish.no_sandbox)
    async with contextlib.AsyncExitStack() as stack:
        sessions = Sessions(paths.state, version=__version__, clock=clock)
        name = wish.model or _model_before(sessions, wish) or settings.model
        if name is None and compat and compat.model:
            name = if_resolved(compat.model, wish, settings, notices)
        model = make_model(name, wish, settings, paths, clock, notices)
        models = Models(
            model, lambda other: make_model(other, wish, settings, paths, clock, notices), frozenset(settings.aliases)
        )
        stack.push_async_callback(models.aclose)
        _warm(model, stack)
        store = _open_store(sessions, wish)
        stack.callback(store.close)
        approved = _approved(wish, store, clock)
        approver = (wish.host.approver if wish.host else None) or Once(question.digest for question in approved)
        kept = Kept()
        gate = make_gate(wish, settings, paths, kept, confined=sandbox is not None, readable=(str(store.spill),))
        beside = _beside(wish, settings, store, gate)
        attached, egress = _egress(wish, settings, paths, store) if settings.egress and sandbox else (None, None)
        if egress and not (isinstance(sandbox, Bubblewrap) and sandbox.resident):
            notices.append("egress: this sandbox has no port for the proxy: commands reach no host")
        if egress:
            stack.push_async_callback(egress.aclose)
        workspace = await stack.enter_async_context(
            _workspace(wish.directory, paths, wish.environ, sandbox, beside, egress, limits_of(settings.limits))
        )
        kept.workspace = workspace
        if not workspace.confined:
            notices.append("commands run UNCONFINED (--no-sandbox)")
        reader = Reader(wish.directory, reach_of(wish, paths, settings, sources, stock, gate))
        library = Library(stock, frozenset(settings.trusted_settings), denied_skills(settings, wish))
        tools = toolbox(wish.tools, wish.disallowed, hides=gate.hides, read_only=lambda: gate.mode == "plan")
        shown = tools.tools
        if wish.schema is not None and model.profile.tools and wish.schema.get("type") == "object":
            from assay.tools.structured import StructuredOutputTool

            shown = (*shown, StructuredOutputTool(wish.schema))
        offered = offers_skills(library, wish, model)
        if offered:
            from assay.tools.skill import SkillTool

            shown = (*shown, SkillTool(library.load))
        instructions = (*reader.begin(), *((stock.style_text,) if stock.style_text else ()), *offered)
        notices += reader.notices
        hooks = make_hooks(settings, wish, notices, stock.hooks)
        parts = RunParts(
            store,
            model,
            workspace,
            Toolset(shown, tools.deferred),
            gate,
            clock,
            approver,
            str(store.spill),
            _mask(wish, settings),
            hooks,
        )
        run = Run(parts, _options(wish, settings, instructions, stock))
        run.watchers.append(Companion(run, library, reader, wish.directory))
        if attached:
            attached.run = run

        def new_store() -> SessionLog:
            fresh = sessions.create(str(wish.directory))
            stack.callback(fresh.close)
            return fresh

        task = Task(run, model, wish, notices, new_store, approved)
        task.models, task.gate, task.hooks = models, gate, hooks
        if hooks or gate.attended:
            from assay.app.permissions import Permissions

            task.permissions = permissions = Permissions(task, gate, workspace, paths)
            stack.callback(permissions.keep)
        if gate.attended:
            from assay.app.dialogs import add_dialogs

            add_dialogs(task, gate, paths)
        if wish.session is not None and wish.permission_mode is None:
            task.resume_mode()
        if hooks:
            tie(hooks, task, "fork" if wish.fork else "startup" if wish.session is None else "resume")
            stack.push_async_callback(end, hooks, task)
        library.serve(task, Lending(gate), models.get)
        task.library = library
        yield task


def _options(wish: Wish, settings: Settings, instructions: tuple[Fragment, ...], stock: Stock) -> RunOptions:
    base = wish.system if wish.system is not None or not stock.styles else stock.system(system_text())
    return RunOptions(
        system_text(base, wish.append_system),
        instructions,
        _budget(wish, settings),
        _reasoning(wish.effort or settings.effort, wish.thinking or settings.thinking),
        wish.schema,
        (*settings.checks, *wish.checks),
        settings.unprotected,
        settings.protected,
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
    fold(sessions.read(wish.session or sessions.latest(str(wish.directory))).records(), status)
    return status.model or None


def _open_store(sessions: Sessions, wish: Wish) -> SessionLog:
    directory = str(wish.directory)
    if wish.session is None:
        if wish.fork:
            raise UsageError("--fork-session goes with --continue or --resume ID")
        return sessions.create(directory, wish.session_id)
    if wish.session_id and not wish.fork:
        raise UsageError("--session-id with --continue or --resume needs --fork-session")
    identity = wish.session or sessions.latest(directory)
    upto = cut_at(sessions.read(identity).records(), wish.resume_at, wish.resume_drops) if wish.resume_at else None
    if wish.fork:
        return sessions.fork(identity, upto=upto, session=wish.session_id)
    store = sessions.open(identity)
    if upto is not None:
        store.append(Rewound(upto))
    return store


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
        ours=(str(paths.config), str(paths.state), str(paths.data)),
        hosts=tuple(hosts),
        cleared=tuple(name for name, host in hosts.items() if host.kind == "mirror" or host.clearance),
    )
    rules = rules_of(said, wish.allowed, wish.disallowed)
    return RuleGate(bounds, mode, rules, kept=kept)


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


def _reasoning(effort: str | None, thinking: str | None) -> Reasoning:
    level: Effort | None = "max" if effort == "xhigh" else next((word for word in EFFORTS if word == effort), None)
    if thinking is None:
        return Reasoning(effort=level)
    if thinking in ("off", "adaptive"):
        return Reasoning("off" if thinking == "off" else "adaptive", effort=level)
    if thinking.isascii() and thinking.isdigit() and len(thinking) < 10 and int(thinking) >= 1024:
        return Reasoning("budget", int(thinking), level)
    raise UsageError(f"--thinking takes off, adaptive or a number of tokens from 1024; got '{thinking}'")
