"""The hooks of a task: from settings, plugins and a host to the engine that runs them, tied to the run.

Settings files of a project count only when the user trusts their very content (`app.config`), so what stands in
`Settings.hooks` may be run; the hooks of a host and of plugins are its own choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from assay.core.errors import AssayError
from assay.core.messages import Json

if TYPE_CHECKING:
    from assay.app.config import Settings
    from assay.app.task import Task, Wish
    from assay.policy.hooks.engine import HookEngine

Source = tuple[Json, str, str]
"""What stands under `hooks` somewhere else; where, for messages; the directory of its plugin."""


def make_hooks(settings: Settings, wish: Wish, notices: list[str], more: Iterable[Source] = ()) -> HookEngine | None:
    """The engine, if anything is to be run. Raises `UsageError` for hooks of the user's that can't be understood; those
    of a plugin are left out with a notice."""
    offered = wish.host.offered.get("hooks") if wish.host else None
    sources = [*more]
    if settings.disable_all_hooks and (settings.hooks or sources):
        notices.append("hooks: none of the settings and plugins are run (disableAllHooks)")
    if settings.disable_all_hooks:
        sources.clear()
    elif settings.hooks:
        sources.insert(0, (settings.hooks, "settings", ""))
    if not sources and not offered:
        return None
    from assay.policy.hooks.config import HookTable, joined, read_callbacks, read_hooks
    from assay.policy.hooks.engine import HookEngine

    tables: list[HookTable] = []
    for value, where, root in sources:
        try:
            table, told = read_hooks(value, where, root)
        except AssayError as error:
            if not root:
                raise
            notices.append(f"{error}; no hook of this plugin is run")
            continue
        tables.append(table)
        notices += told
    engine = HookEngine(joined(tables), cwd=str(wish.directory), environ=wish.environ)
    if wish.host and offered:
        table, told = read_callbacks(offered)
        notices += told
        engine.serve(table, wish.host.hook)
    return engine


def tie(engine: HookEngine, task: Task, source: str) -> None:
    """Make the hooks of `task` know the session, show themselves to whoever watches, and change permissions."""
    run = task.run

    def common() -> dict[str, Json]:
        store = run.parts.store
        path = task.transcript.path if task.transcript else getattr(store, "path", "")
        return {"session_id": store.session, "transcript_path": str(path), "permission_mode": task.mode}

    engine.common = common
    engine.report = run.bus.emit
    run.use_hooks(engine, source, lambda updates: task.allow([*updates]))


async def end(engine: HookEngine, task: Task) -> None:
    """The last of the hooks: the session ends, and nothing that they started goes on."""
    try:
        if task.run.hooked:
            await task.run.hooked.end("other")
    except AssayError as error:
        task.notices.append(f"SessionEnd: {error}")
    finally:
        await engine.aclose()
