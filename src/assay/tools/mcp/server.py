"""One server, supervised: it is connected in the background, and whatever it does ends within bounds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from assay.core.errors import AssayError
from assay.core.messages import Json
from assay.tools.bound import one_line
from assay.tools.mcp.config import ServerConfig
from assay.tools.mcp.peer import (
    Disconnected,
    Facts,
    Heard,
    NeedsAuth,
    Peer,
    Progress,
    ServerError,
    rows,
    table,
    words,
)
from assay.tools.mcp.schema import Offered, Unfit, offered

Status = Literal["pending", "connected", "failed", "needs-auth", "disabled"]

TOOLS = 2_000
"""Tools of one server that are offered at most."""
PAGES = 100
_RETRIES = 5
_RESTARTS = 5
"""Times that a server which died is started again because a call needs it."""
_TOTAL = 7_200.0
_SETTLING = 0.2
"""Seconds that a server has to stop changing its list before it is read again."""


class Limits(Struct, frozen=True):
    startup: float = 30.0
    """Seconds until a server has to be connected (MCP_TIMEOUT, in milliseconds)."""
    silence: float = 300.0
    """Seconds that a call may go on without a word of progress."""
    call: float = _TOTAL
    """Seconds that a call may take at all (MCP_TOOL_TIMEOUT, in milliseconds)."""
    tokens: int = 25_000
    """Of a result that are shown (MAX_MCP_OUTPUT_TOKENS)."""


def read_limits(environ: Mapping[str, str]) -> Limits:
    """The limits of the environment; what is no positive number counts as not said."""

    def number(name: str) -> int:
        text = environ.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0

    plain = Limits()
    total = number("MCP_TOOL_TIMEOUT") / 1000
    return Limits(
        number("MCP_TIMEOUT") / 1000 or plain.startup,
        total or plain.silence,
        total or plain.call,
        min(number("MAX_MCP_OUTPUT_TOKENS") or plain.tokens, 1_000_000),
    )


Open = Callable[[ServerConfig, Heard], Peer]


class Server:
    """`changed` is called when its tools or its status are others than before, `told` with a line for the person."""

    def __init__(
        self,
        config: ServerConfig,
        opens: Open,
        limits: Limits,
        changed: Callable[[Server], None],
        told: Callable[[str], None],
    ):
        self.config = config
        self.status: Status = "disabled" if config.disabled else "pending"
        self.error = config.held
        self.facts = Facts()
        self.tools: tuple[Offered, ...] = ()
        self.resources: tuple[dict[str, Json], ...] = ()
        self.prompts: tuple[dict[str, Json], ...] = ()
        self._opens = opens
        self._limits = limits
        self._changed = changed
        self._told = told
        self._peer: Peer | None = None
        self._work: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._refresh: asyncio.Task[None] | None = None
        self._restarts = 0
        self._closed = self._coming_back = False

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def usable(self) -> bool:
        return self.status == "connected"

    @property
    def locked(self) -> bool:
        return self.status == "needs-auth"

    @property
    def started(self) -> bool:
        return self._work is not None

    @property
    def peer(self) -> Peer | None:
        return self._peer

    def start(self) -> None:
        """Begin to connect, in the background."""
        if self._work is None or self._work.done():
            self.status, self.error = "pending", ""
            self._work = asyncio.create_task(self._connect())

    async def settled(self) -> None:
        """Wait until the attempt under way has ended, one way or the other."""
        if self._work:
            await asyncio.wait([self._work])

    async def stop(self, status: Status = "disabled", error: str = "") -> None:
        self._closed = status == "disabled"
        work = [task for task in (self._work, self._watch, self._refresh) if task and not task.done()]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        peer, self._peer = self._peer, None
        if peer:
            await peer.aclose()
        self.tools, self.resources, self.prompts = (), (), ()
        self.status, self.error = status, error

    async def restart(self) -> None:
        """Connect anew and wait for it. Raises `ServerError` when it does not come."""
        await self.stop("pending")
        self._closed = False
        self.start()
        await self.settled()
        if self.status != "connected":
            raise ServerError(self.error or "it did not connect")

    def kill(self) -> None:
        if self._peer:
            self._peer.kill()

    async def _connect(self) -> None:
        peer = self._opens(self.config, self._heard)
        self._peer = peer
        try:
            async with asyncio.timeout(self._limits.startup):
                self.facts = await peer.open()
                tools, prompts, resources = await self._lists(peer)
        except asyncio.CancelledError:
            await peer.aclose()
            raise
        except NeedsAuth:
            await self._failed(peer, "needs-auth", f"log in with: assay mcp login {self.name}")
        except TimeoutError:
            waited = f"{self._limits.startup:g} s"
            await self._failed(peer, "failed", f"no answer within {waited} (MCP_TIMEOUT)")
        except AssayError as error:
            await self._failed(peer, "failed", str(error))
        except Exception as error:  # noqa: BLE001 - a server, or the library, in a state that nobody thought of
            await self._failed(peer, "failed", one_line(f"{type(error).__name__}: {error}", 300))
        else:
            self.tools, self.prompts, self.resources = tools, prompts, resources
            self.status, self.error = "connected", ""
            self._watch = asyncio.create_task(self._guard(peer))
            self._changed(self)

    async def _failed(self, peer: Peer, status: Status, error: str) -> None:
        self._peer = None
        self.status, self.error = status, one_line(error, 300)
        if not self._coming_back:
            self._told(f"MCP server {self.name}: {status}: {self.error}")
        self._changed(self)
        await peer.aclose()

    async def _guard(self, peer: Peer) -> None:
        """Notice when the connection ends; over HTTP, try to come back."""
        await peer.ended.wait()
        if self._peer is not peer:
            return
        self._peer = None
        self.status, self.error = "failed", one_line(peer.why, 300)
        self._told(f"MCP server {self.name} is gone: {self.error}")
        self._changed(self)
        await peer.aclose()
        if self.config.kind not in ("http", "sse"):
            return
        self._coming_back = True
        try:
            for attempt in range(_RETRIES):
                await asyncio.sleep(2**attempt)
                self.start()
                await self.settled()
                if self.usable or self.locked:
                    return
        finally:
            self._coming_back = False

    # --- what it offers -----------------------------------------------------------------------------------------------

    def _heard(self, method: str, params: Mapping[str, Json]) -> None:
        del params
        if method.endswith("/list_changed") and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self._read_again())

    async def _read_again(self) -> None:
        await asyncio.sleep(_SETTLING)
        peer = self._peer
        if peer is None or self.status != "connected":
            return
        try:
            async with asyncio.timeout(self._limits.startup):
                tools, prompts, resources = await self._lists(peer)
        except (TimeoutError, AssayError) as error:
            self._told(f"MCP server {self.name} changed its tools and does not list them: {one_line(str(error), 200)}")
            return
        self.tools, self.prompts, self.resources = tools, prompts, resources
        self._changed(self)

    async def _lists(
        self, peer: Peer
    ) -> tuple[tuple[Offered, ...], tuple[dict[str, Json], ...], tuple[dict[str, Json], ...]]:
        tools = self._fit(await self._pages(peer, "tools")) if self.facts.tools else ()
        return tools, await self._extra(peer, "prompts"), await self._extra(peer, "resources")

    async def _extra(self, peer: Peer, kind: str) -> tuple[dict[str, Json], ...]:
        """Prompts or resources: that they can't be listed costs only them."""
        if not getattr(self.facts, kind):
            return ()
        try:
            return tuple(table(entry) for entry in await self._pages(peer, kind))
        except Disconnected:
            raise
        except ServerError as error:
            self._told(f"MCP server {self.name} does not list its {kind}: {error}")
            return ()

    async def _pages(self, peer: Peer, kind: str) -> list[Json]:
        found: list[Json] = []
        cursor, seen = "", {""}
        for _ in range(PAGES):
            answer = await peer.request(f"{kind}/list", {"cursor": cursor} if cursor else {})
            found += rows(answer.get(kind))
            cursor = words(answer.get("nextCursor"))
            if cursor in seen or len(found) > TOOLS:
                break
            seen.add(cursor)
        if len(found) > TOOLS:
            self._told(f"MCP server {self.name} lists more than {TOOLS:,} {kind}; the others are left out")
        return found[:TOOLS]

    def _fit(self, said: list[Json]) -> tuple[Offered, ...]:
        fit: dict[str, Offered] = {}
        left_out: list[str] = []
        for entry in said:
            try:
                tool = offered(self.name, entry)
            except Unfit as error:
                left_out.append(f"{one_line(words(table(entry).get('name')), 60) or 'one'}: {error}")
                continue
            if tool.name in fit:
                left_out.append(f"{one_line(tool.remote, 60)}: there is another of that name")
            else:
                fit[tool.name] = tool
        if left_out:
            more = f" (and {len(left_out) - 3} more)" if len(left_out) > 3 else ""
            self._told(f"MCP server {self.name}: tools left out: {'; '.join(left_out[:3])}{more}")
        return tuple(fit.values())

    # --- what is asked of it ------------------------------------------------------------------------------------------

    async def ask(self, method: str, params: dict[str, Json], progress: Progress | None = None) -> dict[str, Json]:
        """One request within the limits. Raises `ServerError`; a server that died is started once more before."""
        peer = await self._at_hand()
        loop = asyncio.get_running_loop()
        began = loop.time()
        total = self.config.timeout or self._limits.call
        silence = min(self.config.timeout or self._limits.silence, total)
        scope = asyncio.timeout(silence)

        def heard(done: float, whole: float | None, text: str) -> None:
            with contextlib.suppress(RuntimeError):
                scope.reschedule(min(loop.time() + silence, began + total))
            if progress:
                progress(done, whole, text)

        try:
            async with scope:
                return await peer.request(method, params, heard)
        except TimeoutError:
            waited = f"{loop.time() - began:.0f} s"
            raise ServerError(
                f"{self.name} did not answer within {waited} and the call was withdrawn (MCP_TOOL_TIMEOUT)"
            ) from None
        except NeedsAuth:
            self.status, self.error = "needs-auth", f"log in with: assay mcp login {self.name}"
            self._changed(self)
            raise

    async def _at_hand(self) -> Peer:
        if self.config.held and not self.started:
            raise Disconnected(f"MCP server {self.name} was not started: {self.config.held}")
        if self.status == "pending":
            await self.settled()
        if self._peer and self.status == "connected" and not self._peer.ended.is_set():
            return self._peer
        died = self.status in ("failed", "connected") and self.facts != Facts()
        if died and not self._closed and self._restarts < _RESTARTS:
            self._restarts += 1
            await self.restart()
            if self._peer:
                return self._peer
        raise Disconnected(f"MCP server {self.name} is {self.status}{f': {self.error}' if self.error else ''}")

    def row(self) -> dict[str, Json]:
        """One entry of a status, in the shape that hosts know."""
        found: dict[str, Json] = {"name": self.name, "status": self.status, "scope": self.config.scope}
        # What stands in these may be a secret.
        found["config"] = {key: value for key, value in self.config.raw.items() if key not in ("env", "headers")}
        if self.facts.name or self.facts.version:
            found["serverInfo"] = {"name": self.facts.name, "version": self.facts.version}
        if self.error:
            found["error"] = self.error
        if self.status == "connected":
            found["tools"] = [
                {
                    "name": tool.remote,
                    "description": tool.description,
                    "annotations": {
                        "readOnly": tool.read_only,
                        "destructive": tool.destructive and not tool.read_only,
                        "openWorld": tool.open_world,
                    },
                }
                for tool in self.tools
            ]
        return found
