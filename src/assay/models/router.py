"""Several models as one: when the first can't be had, the next one answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from assay.core.clock import Clock, SystemClock
from assay.core.messages import FailureKind
from assay.core.model import Finished, Model, ModelEvent, ModelRequest, Profile, Retrying

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ABSENT: tuple[FailureKind, ...] = ("overloaded", "server", "rate_limit", "network", "timeout", "cut", "not_found")
"""After a model's own retries: it can't be had now. A refused key or a bad request is the user's to mend instead."""
BACK_AFTER = 300.0
"""Seconds until a model that could not be had is tried again."""


class FallbackModel:
    """`--fallback-model`: asks `models` in order. What failed is left alone for five minutes."""

    def __init__(self, models: Sequence[Model], clock: Clock | None = None) -> None:
        self._models = list(models)
        self._clock = clock or SystemClock()
        self._absent_until = [0.0] * len(self._models)
        self._current = 0

    @property
    def profile(self) -> Profile:
        """Of the model that answered last, or will be asked first."""
        return self._models[self._current].profile

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """See `assay.core.model.Model`; a change of model is told as a `Retrying`."""
        now = self._clock.monotonic()
        order = [index for index, until in enumerate(self._absent_until) if until <= now] or [len(self._models) - 1]
        for index in order:
            self._current = index
            last: Finished | None = None
            stream = cast("AsyncGenerator[ModelEvent]", self._models[index].stream(request))
            async with aclosing(stream):
                async for event in stream:
                    if isinstance(event, Finished):
                        last = event
                        break
                    yield event
            assert last is not None, "a model ends every stream with Finished"
            failure = last.message.failure
            if failure is None or failure.kind not in ABSENT or index == order[-1]:
                yield last
                return
            self._absent_until[index] = self._clock.monotonic() + BACK_AFTER
            following = self._models[order[order.index(index) + 1]].profile.name
            yield Retrying(failure.attempts, 0.0, f"{failure.message}; going on with {following}")

    async def aclose(self) -> None:
        for model in self._models:
            await model.aclose()
