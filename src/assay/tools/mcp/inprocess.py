"""Servers within the program that drives us: JSON-RPC messages through a callable, without a library."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping

from assay._version import __version__
from assay.core.messages import Json
from assay.tools.mcp.peer import PROTOCOL, Facts, Heard, Progress, ServerError, facts_of, table, words

Bridge = Callable[[str, dict[str, Json]], Awaitable[Mapping[str, Json] | None]]
"""Hands one JSON-RPC message to the server of that name; returns its answer (for a notification, anything)."""

_WITHDRAWAL = 1.0


class InProcess:
    """A `Peer` over a `Bridge`. What the server sends of its own accord is handed in by `receive`."""

    def __init__(self, name: str, bridge: Bridge, heard: Heard):
        self._name = name
        self._bridge = bridge
        self._heard = heard
        self._numbers = itertools.count(1)
        self._progress: dict[int, Progress] = {}
        self._loose: set[asyncio.Future[None]] = set()
        self.ended = asyncio.Event()
        self.why = ""

    async def open(self) -> Facts:
        result = await self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL,
                "capabilities": {},
                "clientInfo": {"name": "assay", "version": __version__},
            },
        )
        await self._notify("notifications/initialized", {})
        return facts_of(result)

    async def request(self, method: str, params: dict[str, Json], progress: Progress | None = None) -> dict[str, Json]:
        number = next(self._numbers)
        if progress:
            self._progress[number] = progress
            params = {**params, "_meta": {**table(params.get("_meta")), "progressToken": number}}
        message: dict[str, Json] = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        try:
            answer = table(await self._bridge(self._name, message))
        except asyncio.CancelledError:
            # Detached: whoever is being cancelled can't wait for the other side to hear of it.
            withdrawal = asyncio.ensure_future(self._withdraw(number))
            self._loose.add(withdrawal)
            withdrawal.add_done_callback(self._withdrawn)
            raise
        except ServerError:
            raise
        except Exception as error:
            raise ServerError(f"the host could not reach its server {self._name}: {error}") from error
        finally:
            self._progress.pop(number, None)
        if "error" in answer:
            said = table(answer["error"])
            code = said.get("code")
            raise ServerError(words(said.get("message")) or "error", code if isinstance(code, int) else 0)
        if not isinstance(answer.get("result"), dict):
            raise ServerError(f"the server {self._name} answered {method} with no result")
        return table(answer["result"])

    def receive(self, message: Mapping[str, Json]) -> None:
        """Take a message that the server sent of its own accord."""
        method, params = words(message.get("method")), table(message.get("params"))
        token = params.get("progressToken")
        if method == "notifications/progress" and isinstance(token, int) and (told := self._progress.get(token)):
            done, total = params.get("progress"), params.get("total")
            known = float(total) if isinstance(total, (int, float)) else None
            told(float(done) if isinstance(done, (int, float)) else 0.0, known, words(params.get("message")))
        elif method:
            self._heard(method, params)

    async def _withdraw(self, number: int) -> None:
        async with asyncio.timeout(_WITHDRAWAL):
            await self._notify("notifications/cancelled", {"requestId": number, "reason": "cancelled"})

    def _withdrawn(self, task: asyncio.Future[None]) -> None:
        self._loose.discard(task)
        if not task.cancelled():
            task.exception()

    async def _notify(self, method: str, params: dict[str, Json]) -> None:
        """A notification; that the other side does not know it is no trouble of ours."""
        try:
            await self._bridge(self._name, {"jsonrpc": "2.0", "method": method, "params": params})
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise ServerError(f"the host could not reach its server {self._name}: {error}") from error

    async def aclose(self) -> None:
        self.ended.set()

    def kill(self) -> None:
        self.ended.set()
