"""Requests of ours to the program that drives us. Each has a bounded end, whatever the other side does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from assay.app.host import HostGone
from assay.core.ids import new_id
from assay.core.messages import Json
from assay.surfaces.host.lines import Frame, fits


class Channel:
    """`send` puts a line out; `patience`: seconds that an answer may take when nobody says otherwise."""

    def __init__(self, send: Callable[[Frame], None], patience: float) -> None:
        self._send = send
        self._patience = patience
        self._waiting: dict[str, asyncio.Future[Frame]] = {}
        self._closed = ""

    async def ask(self, request: Frame, seconds: float | None = None) -> Frame:
        """The answer to `request`. Raises `HostGone`: it can't be asked, refused, or said nothing in time."""
        if self._closed:
            raise HostGone(self._closed)
        name = new_id()
        frame: Frame = {"type": "control_request", "request_id": name, "request": request}
        if request.get("subtype") != "can_use_tool" and not fits(frame):
            raise HostGone(f"the {request.get('subtype')} request is too large for a line")
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[name] = answer
        limit = self._patience if seconds is None else seconds
        try:
            self._send(frame)
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            self._withdraw(name)
            raise HostGone(f"the host gave no answer to {request.get('subtype')} within {limit:g} s") from None
        except asyncio.CancelledError:
            self._withdraw(name)
            raise
        finally:
            self._waiting.pop(name, None)

    def answer(self, response: Json) -> None:
        """A control_response came in. One that is late, a second one, or to a question never asked, is no matter."""
        if not isinstance(response, dict):
            return
        told = cast(Frame, response)
        waiting = self._waiting.pop(str(told.get("request_id")), None)
        if waiting is None or waiting.done():
            return
        inner = told.get("response")
        if told.get("subtype") == "success":
            waiting.set_result(cast(Frame, inner) if isinstance(inner, dict) else {})
        else:
            waiting.set_exception(HostGone(str(told.get("error") or "the host refused without a reason")[:2_000]))

    def close(self, why: str) -> None:
        """Nobody answers any more: what waits is told so now, and what comes later at once."""
        self._closed = self._closed or why
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(HostGone(why))
        self._waiting.clear()

    def _withdraw(self, name: str) -> None:
        self._send({"type": "control_cancel_request", "request_id": name})
