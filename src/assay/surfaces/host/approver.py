"""Questions of the gate, put to the host (`can_use_tool`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from assay.app.host import HostGone
from assay.core.errors import UsageError
from assay.core.policy import Approval, Question
from assay.surfaces.host.channel import Channel
from assay.surfaces.host.lines import Frame, fits, write_line

if TYPE_CHECKING:
    from assay.app.task import Task

_REASONS = {"ask": "rule", "mode": "mode", "outside": "workingDir", "protected": "safetyCheck"}
PATIENCE = 24 * 3600.0
"""Seconds that a person may take. A host that is gone is noticed at once."""


class HostApprover:
    """An `Approver`. `task`: the task that asks, once there is one; `waits` is told True while an answer is awaited."""

    def __init__(
        self, channel: Channel, task: Callable[[], Task | None], waits: Callable[[bool], None], patience: float
    ):
        self._channel = channel
        self._task = task
        self._waits = waits
        self._patience = patience
        self._open = 0

    async def approve(self, question: Question) -> Approval:
        """The host's word. No answer, and one that makes no sense, is a no."""
        request = self._request(question)
        sent = request["input"]
        if not fits(request):
            # What comes back must not be the shortened input that was shown.
            request = cast(Frame, _decoded(write_line(request)))
        self._open += 1
        self._waits(True)
        try:
            answer = await self._channel.ask(request, self._patience)
        except HostGone as gone:
            return Approval(False, f"{question.tool} was not approved: {gone}")
        finally:
            self._open -= 1
            if not self._open:
                self._waits(False)
        return self._read(answer, question, [sent, request["input"]])

    def _request(self, question: Question) -> Frame:
        task, decision = self._task(), question.decision
        permissions = task.permissions if task else None
        rule = decision.rule.partition(" ")[0]
        request: Frame = {
            "subtype": "can_use_tool",
            "tool_name": question.tool,
            "input": question.arguments,
            "tool_use_id": question.call,
            "permission_suggestions": permissions.suggestions(question) if permissions else [],
            "decision_reason": decision.reason,
            "decision_reason_type": _REASONS.get(rule, "other"),
        }
        if rule in ("outside", "protected") and question.effects:
            request["blocked_path"] = question.effects[0].target
        return request

    def _read(self, answer: Frame, question: Question, shown: list[object]) -> Approval:
        behaviour = answer.get("behavior")
        if behaviour == "allow":
            updates, task = answer.get("updatedPermissions"), self._task()
            if isinstance(updates, list) and task and task.permissions:
                try:
                    task.permissions.update(cast("list[Frame]", updates))
                except UsageError as error:
                    task.messages.system("informational", content=f"permissions not changed: {error}", level="warning")
            wanted = answer.get("updatedInput")
            changed = isinstance(wanted, dict) and wanted not in shown
            if task and not changed and question.decision.rule == "outside":
                for effect in question.effects:
                    if effect.kind == "write":
                        task.lend(effect.target)
            return Approval(True, arguments=cast(Frame, wanted) if changed else None)
        message = answer.get("message")
        said = message if behaviour == "deny" and isinstance(message, str) and message else ""
        return Approval(False, said or f"{question.tool} was not approved", interrupt=answer.get("interrupt") is True)


def _decoded(line: str) -> object:
    import json

    return json.loads(line)
