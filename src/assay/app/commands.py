"""Slash commands that are answered without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from assay.core.errors import AssayError, UsageError
from assay.core.messages import Json

if TYPE_CHECKING:
    from assay.app.library import Library
    from assay.app.task import Task
    from assay.sessions.fold import Account

BUILT_IN: dict[str, tuple[str, str]] = {
    "agents": ("list the kinds of sub-agents", ""),
    "clear": ("begin a new session here, with nothing of this one before the model", ""),
    "compact": ("compact the conversation now", "[what to keep in mind]"),
    "context": ("what fills the model's window", ""),
    "cost": ("tokens and money of this session", ""),
    "help": ("list what can be called by name", ""),
    "mcp": ("list servers of tools, and how they are", ""),
    "model": ("show the model, or use another from now on", "[MODEL]"),
    "permissions": ("list rules, and the mode", ""),
    "rewind": ("go back to before a turn: files and conversation", "[TURN] [--files|--conversation] [--dry-run]"),
    "skills": ("list skills", ""),
}
"""Name -> what it does, and what it takes."""


async def answer(task: Task, library: Library, name: str, arguments: str) -> tuple[str, str]:
    """What the command says, or else a prompt for the model. Trouble is told in the answer."""
    try:
        return await _answered(task, library, name, arguments), ""
    except AssayError as error:
        return f"/{name}: {error}", ""


async def _answered(task: Task, library: Library, name: str, arguments: str) -> str:
    match name:
        case "agents":
            return _table([(str(row["name"]), str(row["description"])) for row in library.agents], "no agents")
        case "clear":
            return f"new session: {await task.clear()}"
        case "compact":
            return "compacted" if await task.compact(arguments) else "nothing is gained by compacting now"
        case "context":
            return _context(task.context_usage())
        case "cost":
            return _cost(task)
        case "help":
            return _help(library)
        case "mcp":
            rows = task.mcp.status() if task.mcp else []
            return _table([(str(row.get("name")), str(row.get("status"))) for row in rows], "no servers")
        case "model":
            return task.set_model(arguments) if arguments else task.profile.name
        case "permissions":
            return _permissions(task)
        case "rewind":
            return await _rewind(task, arguments)
        case _:
            skills = [skill for skill in library.stock.skills.values() if skill.kind == "skill"]
            return _table([(skill.name, skill.description) for skill in skills], "no skills")


def _help(library: Library) -> str:
    rows = [(f"/{row['name']} {row['argumentHint']}".strip(), str(row["description"])) for row in library.commands]
    return _table(rows, "")


def _context(usage: dict[str, Json]) -> str:
    categories = cast("list[dict[str, Json]]", usage["categories"])
    rows = [(str(row["name"]), f"{row['tokens']:,} tokens") for row in categories if row["tokens"]]
    return _table(rows, "nothing yet")


def _cost(task: Task) -> str:
    from assay.sessions.fold import Ledger, fold

    ledger = Ledger()
    fold(task.run.parts.store.records(), ledger)
    rows = [("total", _account(ledger.total))]
    rows += [(model, _account(account)) for model, account in ledger.by_model.items()]
    return _table(rows, "")


def _account(account: Account) -> str:
    money = "cost unknown" if account.dollars is None else f"${account.dollars:.4f}"
    if account.dollars is not None and account.unpriced:
        money += f" and {account.unpriced} requests without a known price"
    return f"{account.usage.total:,} tokens, {money}"


def _permissions(task: Task) -> str:
    gate = task.run.parts.gate
    from assay.policy.gate import RuleGate

    if not isinstance(gate, RuleGate):
        return "no rules"
    rows = [("mode", gate.mode)]
    for kind, rules in (("deny", gate.rules.deny), ("ask", gate.rules.ask), ("allow", gate.rules.allow)):
        rows += [(kind, rule.told) for rule in rules]
    return _table(rows, "")


async def _rewind(task: Task, arguments: str) -> str:
    words = arguments.split()
    known = {"--files", "--conversation", "--dry-run"}
    if wrong := [word for word in words if word.startswith("-") and word not in known]:
        raise UsageError(f"unknown option '{wrong[0]}'; it takes {', '.join(sorted(known))}")
    to = next((word for word in words if not word.startswith("-")), "")
    files, conversation = "--files" in words, "--conversation" in words
    both = files == conversation
    done = await task.rewind(to, files=files or both, conversation=conversation or both, dry="--dry-run" in words)
    lines = [f"{'would go' if '--dry-run' in words else 'went'} back to before: {_words(done.turn.parts)}"]
    lines += [f"  {change.kind} {change.path}" for change in done.files[:50]]
    lines += [f"  changed by others since: {path}" for path in done.others[:20]]
    return "\n".join(lines)


def _words(parts: object) -> str:
    from assay.core.messages import Text

    first = next((part.text for part in cast("tuple[object, ...]", parts) if isinstance(part, Text)), "")
    flat = " ".join(first.split())
    return flat if len(flat) <= 100 else f"{flat[:99]}…"


def _table(rows: list[tuple[str, str]], empty: str) -> str:
    if not rows:
        return empty
    width = min(max(len(left) for left, _ in rows), 32)
    return "\n".join(f"{left:<{width}}  {right}".rstrip() for left, right in rows)
