"""The first message of a turn: what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from assay.core.messages import Json

if TYPE_CHECKING:
    from assay.app.task import Task

SPEAKS = "2.1.329"
"""The version of the `claude` command whose interface this is; clients look for one of this shape."""
_PUBLIC_NAMES = {"Agent": "Task"}
"""Tools that the list names otherwise than calls do; clients know them by that."""


def announce(task: Task) -> dict[str, Json]:
    """Say what `task` has: `system/init`."""
    library, servers = task.library, task.mcp.status() if task.mcp else []
    commands = [command.get("name") for command in library.commands] if library else []
    environ = task.wish.environ
    key = next((name for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN") if environ.get(name)), "none")
    return task.messages.system(
        "init",
        cwd=str(task.wish.directory),
        tools=_listed(_PUBLIC_NAMES.get(name, name) for name in task.run.tools),
        mcp_servers=[{"name": each.get("name"), "status": each.get("status")} for each in servers],
        model=task.messages.name(task.profile.name),
        permissionMode=task.mode,
        slash_commands=_listed(commands),
        apiKeySource=key,
        claude_code_version=SPEAKS,
        assay_version=task.version,
        output_style=library.style if library else "default",
        agents=_listed(task.outfit.kinds if task.outfit else ()),
        skills=_listed(library.skills if library else []),
        plugins=_listed(library.plugins if library else []),
    )


def _listed(items: object) -> list[Json]:
    return list(cast("list[Json]", items))
