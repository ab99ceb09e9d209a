"""Tools by which a model talks with whoever attends it: questions, and plans to approve. Without somebody there, none
of them is offered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.app.paths import Paths
    from assay.app.task import Task
    from assay.policy.gate import RuleGate

NAMES = ("AskUserQuestion", "EnterPlanMode", "ExitPlanMode")


def add_dialogs(task: Task, gate: RuleGate, paths: Paths) -> None:
    """Offer them, but for those that `--tools` or `--disallowedTools` leave out."""
    wish = task.wish
    unwanted = {name.casefold() for name in wish.disallowed}
    chosen = None if wish.tools is None or "default" in wish.tools else {name.casefold() for name in wish.tools}
    wanted = [
        name for name in NAMES if name.casefold() not in unwanted and (chosen is None or name.casefold() in chosen)
    ]
    if not wanted:
        return
    from assay.tools.ask import AskTool
    from assay.tools.plan import EnterPlanTool, ExitPlanTool, PlanMode

    def place() -> Path:
        return paths.state / "plans" / f"{task.session}.md"

    def keep(plan: str) -> str:
        place().parent.mkdir(parents=True, exist_ok=True)
        place().write_text(plan + "\n", "utf-8", "replace")
        return str(place())

    def kept() -> str:
        try:
            return place().read_text("utf-8", "replace").strip()
        except OSError:
            return ""

    plan = PlanMode(lambda: gate.mode, task.set_mode, keep, kept)
    made = {"AskUserQuestion": AskTool, "EnterPlanMode": lambda: EnterPlanTool(plan)}
    for name in wanted:
        task.run.tools.add(made[name]() if name in made else ExitPlanTool(plan))
