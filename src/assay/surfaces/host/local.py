"""Slash commands that we answer ourselves, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from assay.core.errors import AssayError
from assay.core.messages import Json

if TYPE_CHECKING:
    from assay.app.task import Task

NAMES = frozenset({"compact", "context", "cost", "model"})
"""`/clear` is a matter of the session, which is another one then."""


async def answer(task: Task, command: str) -> str | None:
    """What to say to a slash command; None when it is none of these."""
    name, _, rest = command.removeprefix("/").partition(" ")
    match name:
        case "compact":
            done = await task.compact(rest.strip())
            return "Compacted." if done else "There is nothing yet that could be compacted."
        case "context":
            return _context(task)
        case "cost":
            return _cost(task)
        case "model":
            return _model(task, rest.strip())
        case _:
            return None


def _context(task: Task) -> str:
    usage = task.context_usage()
    rows = [f"- {row['name']}: {row['tokens']:,} tokens" for row in cast("list[dict[str, Json]]", usage["categories"])]
    return "\n".join([f"{usage['totalTokens']:,} of {usage['maxTokens']:,} tokens ({usage['percentage']} %)", *rows])


def _cost(task: Task) -> str:
    totals = task.messages.whole
    rows = [
        f"- {name}: {usage.sent:,} tokens in, {usage.output:,} out, ${totals.dollars.get(name) or 0.0:.4f}"
        for name, usage in totals.by_model.items()
    ]
    return "\n".join([f"${totals.cost:.4f} so far", *rows])


def _model(task: Task, name: str) -> str:
    if not name:
        return f"The model is {task.profile.name}."
    try:
        return f"The model is {task.set_model(name)} now."
    except AssayError as error:
        return str(error)
