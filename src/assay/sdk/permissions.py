"""A program as the one who is asked: its callback decides about the calls that would need a person's leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from assay.core.messages import Json
from assay.core.policy import NOBODY, Approval, Question


@dataclass
class PermissionRuleValue:
    tool_name: str
    rule_content: str | None = None

    @property
    def text(self) -> str:
        return f"{self.tool_name}({self.rule_content})" if self.rule_content else self.tool_name


@dataclass
class PermissionUpdate:
    """A change of what is allowed, to hold from now on."""

    type: Literal["addRules", "replaceRules", "removeRules", "setMode", "addDirectories", "removeDirectories"]
    rules: list[PermissionRuleValue] | None = None
    behavior: Literal["allow", "deny", "ask"] | None = None
    mode: str | None = None
    directories: list[str] | None = None
    destination: Literal["userSettings", "projectSettings", "localSettings", "session"] | None = None

    def to_dict(self) -> dict[str, Json]:
        """As it goes over the wire."""
        found: dict[str, Json] = {"type": self.type, "destination": self.destination or "session"}
        if self.rules is not None:
            found["rules"] = [{"toolName": rule.tool_name, "ruleContent": rule.rule_content} for rule in self.rules]
        for name in ("behavior", "mode", "directories"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Json]) -> PermissionUpdate:
        rules = [
            PermissionRuleValue(str(rule.get("toolName", "")), cast("str | None", rule.get("ruleContent")))
            for rule in cast("list[dict[str, Json]]", data.get("rules") or [])
        ]
        return cls(
            cast("Literal['addRules']", data.get("type")),
            rules or None,
            cast("Literal['allow'] | None", data.get("behavior")),
            cast("str | None", data.get("mode")),
            cast("list[str] | None", data.get("directories")),
            cast("Literal['session'] | None", data.get("destination")),
        )


@dataclass
class ToolPermissionContext:
    """What is known about a call that is asked for."""

    signal: object = None
    suggestions: list[PermissionUpdate] = field(default_factory=list[PermissionUpdate])
    tool_use_id: str | None = None
    agent_id: str | None = None
    blocked_path: str | None = None
    decision_reason: str | None = None
    title: str | None = None
    display_name: str | None = None
    description: str | None = None
    question: Question | None = None
    """The question itself: effects, and every rule that spoke."""


@dataclass
class PermissionResultAllow:
    """Leave for this one call, or for the call as `updated_input` has it: that is judged anew."""

    updated_input: dict[str, Json] | None = None
    updated_permissions: list[PermissionUpdate] | None = None
    behavior: Literal["allow"] = "allow"


@dataclass
class PermissionResultDeny:
    """`message` is what the model is told, word for word."""

    message: str = ""
    interrupt: bool = False
    behavior: Literal["deny"] = "deny"


PermissionResult: TypeAlias = PermissionResultAllow | PermissionResultDeny
CanUseTool: TypeAlias = Callable[[str, dict[str, Json], ToolPermissionContext], Awaitable[PermissionResult]]


class CallbackApprover:
    """An `Approver` that asks the program. Whatever goes wrong in the callback is a refusal."""

    def __init__(
        self,
        callback: CanUseTool,
        troubled: Callable[[str], None],
        updated: Callable[[list[PermissionUpdate]], None],
        suggest: Callable[[Question], list[PermissionUpdate]] = lambda _: [],
    ) -> None:
        self._callback = callback
        self._troubled = troubled
        self._updated = updated
        self._suggest = suggest

    async def approve(self, question: Question) -> Approval:
        path = next((each.target for each in question.effects if each.kind in ("read", "write", "delete")), None)
        context = ToolPermissionContext(
            suggestions=self._suggest(question),
            tool_use_id=question.call,
            blocked_path=path,
            decision_reason=question.decision.reason,
            display_name=question.tool,
            question=question,
        )
        try:
            answer = await self._callback(question.tool, dict(question.arguments), context)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a callback that fails must not grant anything
            self._troubled(f"can_use_tool failed for {question.tool}: {type(error).__name__}: {error}")
            return Approval(False, f"{question.tool}: the program that decides about it failed")
        match cast("object", answer):
            case PermissionResultAllow(updated_input=arguments, updated_permissions=updates):
                self._updated(updates or [])
                return Approval(True, arguments=arguments if arguments != question.arguments else None)
            case PermissionResultDeny(message=message, interrupt=interrupt):
                return Approval(False, message or "the user does not want this call to be made", interrupt=interrupt)
            case other:
                self._troubled(f"can_use_tool returned {other!r} for {question.tool}; expected PermissionResultAllow")
                return NOBODY
