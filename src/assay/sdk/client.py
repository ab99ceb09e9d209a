"""`query` for one task, and `Client` for a conversation: the two ways in which a program drives an agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, suppress
from types import TracebackType
from typing import cast

from assay.app.host import Servers
from assay.core.errors import UsageError
from assay.core.ids import new_id
from assay.core.messages import Image, Json, Text
from assay.core.policy import EXTERNAL
from assay.run.rewind import Rewinding
from assay.sdk.live import Live, Prompt
from assay.sdk.messages import Message, ResultMessage
from assay.sdk.options import Options, PermissionMode

Said = str | AsyncIterable[dict[str, Json]]
"""A prompt; or messages as hosts send them, `{"type": "user", "message": {"role": "user", "content": ...}}`, each of
which is a turn."""


async def query(*, prompt: Said, options: Options | None = None) -> AsyncGenerator[Message]:
    """Carry out one task, or one conversation whose prompts come from elsewhere; yields what happens, and at the end of
    each turn a `ResultMessage`.

    Whoever leaves the loop early ends the turn: the agent's processes are gone before the generator is closed. Raises
    `AssayError` for what keeps a task from beginning (no key, no such model, no sandbox); what goes wrong later is an
    outcome in the result.
    """
    live = Live(options or Options())
    await live.open()
    feeding: asyncio.Task[None] | None = None
    try:
        if isinstance(prompt, str):
            live.prompt(prompt_of(prompt))
            live.finish()
        else:
            feeding = asyncio.create_task(_feed(live, prompt))
        async with aclosing(cast("AsyncGenerator[Message]", live.messages())) as messages:
            async for message in messages:
                yield message
        if feeding:
            await feeding
    finally:
        if feeding:
            feeding.cancel()
            await asyncio.wait([feeding])
        await live.close()


class Client:
    """A conversation with an agent, for as long as the program wants.

        async with Client(Options(model="sonnet")) as client:
            await client.query("Why does the test fail?")
            async for message in client.receive_response():
                ...
            await client.query("Then fix it.")

    Several may be alive at once. Each belongs to the event loop and the process that connected it.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._live: Live | None = None
        self._feeding: asyncio.Task[None] | None = None

    async def connect(self, prompt: Said | None = None) -> None:
        """Open the session; with `prompt`, begin at once. Raises `AssayError` for what cannot be had."""
        if self._live is not None:
            raise UsageError("connected already; disconnect() first, or use another Client")
        live = Live(self.options)
        await live.open()
        self._live = live
        if prompt is not None:
            await self.query(prompt)

    async def query(self, prompt: Said, session_id: str = "default") -> None:
        """Say something; the answer comes by `receive_response`. Said during a turn, it opens the next one.

        `session_id` has no meaning here: a client has one session.
        """
        del session_id
        live = self._alive
        if isinstance(prompt, str):
            live.prompt(prompt_of(prompt))
        elif self._feeding and not self._feeding.done():
            raise UsageError("query: the messages of the query before are still being read")
        else:
            self._feeding = asyncio.create_task(_feed(live, prompt, finish=False))

    async def receive_messages(self) -> AsyncIterator[Message]:
        """Everything that happens, turn after turn, until the client is disconnected."""
        async with aclosing(cast("AsyncGenerator[Message]", self._alive.messages())) as messages:
            async for message in messages:
                yield message

    async def receive_response(self) -> AsyncIterator[Message]:
        """What happens until the end of the turn, its `ResultMessage` included."""
        async with aclosing(cast("AsyncGenerator[Message]", self._alive.messages())) as messages:
            async for message in messages:
                yield message
                if isinstance(message, ResultMessage):
                    return

    async def interrupt(self) -> None:
        """End the turn that is under way; its `ResultMessage` says `interrupted`. Keep receiving until it comes."""
        self._alive.interrupt()

    async def set_permission_mode(self, mode: PermissionMode) -> None:
        """Judge calls in this mode from the next one on."""
        self._alive.task.set_mode(mode)

    async def set_model(self, model: str | None = None) -> str:
        """Use another model from the next request on, None for that of the start; returns its full name. Raises
        `UsageError` or `AuthError` for one that can't be had."""
        return self._alive.task.set_model(model)

    async def rewind_files(self, user_message_id: str, *, dry_run: bool = False) -> dict[str, Json]:
        """Make the files as they were before a message of yours, by its `uuid`; whatever changed them is taken back.
        Returns `filesChanged`, `insertions` and `deletions`. Not during a turn. Raises `UsageError`."""
        live = self._alive

        async def work() -> Rewinding:
            return await live.task.rewind(user_message_id, conversation=False, dry=dry_run)

        done = await live.between_turns(work)
        return {
            "canRewind": True,
            "filesChanged": [change.path for change in done.files],
            "insertions": sum(change.added for change in done.files),
            "deletions": sum(change.removed for change in done.files),
        }

    async def get_context_usage(self) -> dict[str, Json]:
        """What fills the window now, by category."""
        return self._alive.task.context_usage()

    async def stop_task(self, task_id: str) -> bool:
        """End a sub-agent or a command in the background; False when there is none of that id."""
        tasks = self._alive.task.tasks
        return await tasks.stop(task_id) if tasks else False

    async def get_mcp_status(self) -> dict[str, Json]:
        """`{"mcpServers": [...]}`: those of this program, then the others."""
        live = self._alive
        others = live.task.mcp.status() if live.task.mcp else []
        return {"mcpServers": [*live.equipment.status(), *others]}

    async def reconnect_mcp_server(self, server_name: str) -> None:
        """Raises `UsageError` for a name that is none."""
        live = self._alive
        if server_name in live.equipment.servers:
            live.equipment.offer(live.task, server_name)
        else:
            await _servers(live).reconnect(server_name)

    async def toggle_mcp_server(self, server_name: str, enabled: bool) -> None:
        """Take the tools of a server out of requests, or put them back. Raises `UsageError` as above."""
        live = self._alive
        if server_name in live.equipment.servers:
            (live.equipment.offer if enabled else live.equipment.withdraw)(live.task, server_name)
        else:
            await _servers(live).toggle(server_name, enabled)

    async def disconnect(self) -> None:
        """End the session: what is under way is interrupted, what runs is ended. May be called twice."""
        live, self._live = self._live, None
        if self._feeding:
            self._feeding.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._feeding
        if live:
            await live.close()

    @property
    def session_id(self) -> str:
        return self._alive.task.session

    @property
    def _alive(self) -> Live:
        if self._live is None:
            raise UsageError("the client is not connected: call connect(), or use `async with`")
        return self._live

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()


def _servers(live: Live) -> Servers:
    if live.task.mcp is None:
        raise UsageError("no MCP server is configured")
    return live.task.mcp


def prompt_of(said: str | dict[str, Json]) -> Prompt:
    """A prompt as what opens a turn. Raises `UsageError` for what says nothing."""
    if isinstance(said, str):
        if not said.strip():
            raise UsageError("the prompt is empty")
        return Prompt((Text(said),), new_id())
    message = said.get("message")
    content = cast("dict[str, Json]", message).get("content") if isinstance(message, dict) else None
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts = [part for block in cast("list[Json]", blocks or []) if (part := _part(block))]
    if not parts:
        raise UsageError('a message needs {"type": "user", "message": {"role": "user", "content": ...}}, and not empty')
    origin = cast("dict[str, Json]", said.get("origin") or {})
    # Words that come from no person are outsiders' text, and no commands.
    label = None if origin.get("kind", "human") == "human" else EXTERNAL
    return Prompt(tuple(parts), str(said.get("uuid") or new_id()), origin, label)


def _part(block: Json) -> Text | Image | None:
    table = cast("dict[str, Json]", block) if isinstance(block, dict) else {}
    if table.get("type") == "text" and str(table.get("text") or "").strip():
        return Text(str(table["text"]))
    source = table.get("source")
    if table.get("type") == "image" and isinstance(source, dict):
        given = cast("dict[str, Json]", source)
        return Image(str(given.get("media_type", "image/png")), str(given.get("data", "")))
    return None


async def _feed(live: Live, messages: AsyncIterable[dict[str, Json]], *, finish: bool = True) -> None:
    """Prompt after prompt from `messages`; what goes wrong while reading them ends the session."""
    try:
        async for message in messages:
            live.prompt(prompt_of(message))
    except Exception as error:
        live.fail(error)
        raise
    finally:
        if finish:
            live.finish()
