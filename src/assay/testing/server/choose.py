"""Which reply a request gets, and which fault strikes it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from assay.testing.server.faults import check_faults, strikes
from assay.testing.server.script import Fault, Match, Order, Reply, Script, ScriptError
from assay.testing.server.seen import SeenRequest

ReplyFunction = Callable[[SeenRequest], Reply]


class Choice(NamedTuple):
    """A reply, and the fault that strikes it or None."""

    reply: Reply
    fault: Fault | None


class Exhausted(Exception):
    """The script has no reply left for the request."""


def matches(when: Match | None, seen: SeenRequest) -> bool:
    """Whether a request meets a condition; no condition is met by every request."""
    if when is None:
        return True
    last = seen.last if when.last is not None else None
    said = "\n".join([last.text, *(result.text for result in last.results)]) if last else ""
    return (
        when.dialect in (None, seen.dialect)
        and (when.path is None or when.path in seen.path)
        and when.model in (None, seen.model)
        and (when.tool is None or any(tool.name == when.tool for tool in seen.tools))
        and (when.tools is None or when.tools == bool(seen.tools))
        and (when.text is None or when.text.encode() in seen.raw)
        and (when.last is None or when.last in said)
        and (when.turn is None or when.turn == sum(turn.role == "assistant" for turn in seen.history))
    )


class Chooser:
    """Chooses by script or by function, and keeps count of the faults that have struck.

    Raises ScriptError at once for a fault that doesn't exist.
    """

    def __init__(
        self, script: Script | ReplyFunction, faults: Sequence[Fault] = (), order: Order | None = None
    ) -> None:
        self._script = script if isinstance(script, Script) else Script()
        self._function = None if isinstance(script, Script) else script
        self._order = order or self._script.order
        self._faults = (*self._script.faults, *faults)
        own = [reply.fault for reply in (*self._script.replies, *(rule.reply for rule in self._script.rules))]
        check_faults([*self._faults, *(fault for fault in own if fault)])
        self._met: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._served = 0

    def choose(self, seen: SeenRequest) -> Choice:
        """Sets `seen.position` and gives the reply and its fault.

        Raises Exhausted when the script is at its end, ScriptError when the function's reply names an unknown fault.
        """
        seen.position = self._served if self._order == "request" else seen.place()
        reply, own = self._reply(seen)
        for index, fault in enumerate(self._faults):
            if matches(fault.when, seen) and self._due(f"script {index}", fault, reply, seen):
                return Choice(reply, fault)
        fault = reply.fault
        if fault and matches(fault.when, seen) and self._due(own, fault, reply, seen):
            return Choice(reply, fault)
        return Choice(reply, None)

    def served(self, reply: Reply) -> None:
        """Told that a reply has arrived as scripted: a script in order of requests goes on."""
        self._served += not reply.aside

    def _reply(self, seen: SeenRequest) -> tuple[Reply, str]:
        """The reply, and the name under which its own fault is counted."""
        if self._function is not None:
            reply = self._function(seen)
            if reply.fault:
                check_faults([reply.fault])
            return reply, f"reply {seen.position} {reply.fault}"
        for index, rule in enumerate(self._script.rules):
            if matches(rule.when, seen):
                return msgspec.structs.replace(rule.reply, aside=True), f"rule {index}"
        replies, place = self._script.replies, seen.position
        if place >= len(replies):
            if not replies or self._script.after == "error":
                raise Exhausted(f"the script has {len(replies)} replies; this request asks for number {place + 1}")
            place = len(replies) - 1 if self._script.after == "repeat" else place % len(replies)
        return replies[place], f"reply {place}"

    def _due(self, key: str, fault: Fault, reply: Reply, seen: SeenRequest) -> bool:
        """Whether a fault strikes now; counts the requests that it could have struck."""
        if not strikes(fault, reply):
            return False
        met = self._met.get(key, 0)
        self._met[key] = met + 1
        if met < fault.after:
            return False
        if fault.name == "too_long":
            return self._too_long(key, fault, len(seen.raw))
        return fault.times is None or met < fault.after + fault.times

    def _too_long(self, key: str, fault: Fault, size: int) -> bool:
        """Whether a request is over the limit: a fixed one, or nine tenths of the first request met.

        The second kind is spent by the first request that keeps to it.
        """
        if fault.size is not None:
            return size > fault.size
        limit = self._limits.setdefault(key, size * 9 // 10)
        if limit >= 0 and size <= limit:
            self._limits[key] = -1
        return size > limit >= 0


__all__ = ["Choice", "Chooser", "Exhausted", "ReplyFunction", "ScriptError", "matches"]
