"""The models behind the gateway: opened when asked for, kept while they are useful, and what they said lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec.structs import replace

from assay.core.errors import UsageError
from assay.core.messages import AssistantMessage, Message, Native, ToolCall
from assay.core.model import Model

IDLE = 4
"""Models of one name that are kept open."""
USES = 50
"""Requests of one opened model; it remembers the names of all calls that it has seen."""
REMEMBERED = 32_000_000
"""Bytes of replies that are kept."""


class Pool:
    """`open_` makes a model from a name, raising `UsageError` or `AuthError`. `offered`: the only names that there are,
    the first of which also answers to any other; all that `open_` knows when empty."""

    def __init__(self, open_: Callable[[str], Model], offered: Sequence[str] = ()) -> None:
        self._open = open_
        self.offered = tuple(offered)
        self._idle: dict[str, list[tuple[Model, int]]] = {}
        self._closed = False

    @asynccontextmanager
    async def model(self, name: str) -> AsyncGenerator[Model]:
        """A model that nobody else uses meanwhile."""
        if self.offered and name not in self.offered:
            name = self.offered[0]
        idle = self._idle.setdefault(name, [])
        model, uses = idle.pop() if idle else (self._open(name), 0)
        fine = False
        try:
            yield model
            fine = True
        finally:
            if fine and not self._closed and len(idle) < IDLE and uses < USES:
                idle.append((model, uses + 1))
            else:
                await model.aclose()

    async def aclose(self) -> None:
        self._closed = True
        for idle in self._idle.values():
            while idle:
                await idle.pop()[0].aclose()


class Memory:
    """What models said lately, with their own blocks: sealed reasoning and signatures, which many clients lose, and
    without which a model has to think again in the middle of its work."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, tuple[str, ...]], tuple[Native, int]] = OrderedDict()
        self._size = 0

    def keep(self, message: AssistantMessage) -> None:
        if message.native is None or message.failure is not None:
            return
        size = len(str(message.native.blocks))
        key = _key(message.native.model, message)
        if key in self._kept:
            self._size -= self._kept.pop(key)[1]
        self._kept[key] = (message.native, size)
        self._size += size
        while self._size > REMEMBERED:
            self._size -= self._kept.popitem(last=False)[1][1]

    def restored(self, messages: Sequence[Message], dialect: str, model: str) -> list[Message]:
        """The history with each reply as `model` gave it, where we know that, or where the client has kept it."""
        return [
            self._restored(message, dialect, model) if isinstance(message, AssistantMessage) else message
            for message in messages
        ]

    def _restored(self, message: AssistantMessage, dialect: str, model: str) -> AssistantMessage:
        known = self._kept.get(_key(model, message))
        if known:
            return replace(message, native=known[0])
        native = message.native
        same = native is not None and native.dialect == dialect
        return replace(message, native=replace(native, model=model) if native and same else None)


def _key(model: str, message: AssistantMessage) -> tuple[str, str, tuple[str, ...]]:
    return model, message.text, tuple(call.id for call in message.calls)


def checked(messages: Sequence[Message]) -> None:
    """Raises `UsageError` for a history in which a call can't be understood."""
    for message in messages:
        if isinstance(message, AssistantMessage):
            broken = next((part for part in message.parts if isinstance(part, ToolCall) and part.invalid), None)
            if broken:
                raise UsageError(f"the call {broken.id} of {broken.name} in the history: {broken.invalid}")
