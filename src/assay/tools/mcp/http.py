"""Servers over HTTP. The library speaks; its client is ours, so that what comes back is bounded."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

import httpx2

from assay.tools.mcp.config import ServerConfig
from assay.tools.mcp.oauth import Login, Person
from assay.tools.mcp.peer import MESSAGE

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage

    Streams = tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]

_CONNECTING = 30.0
_SILENCE = 3_600.0
"""Seconds without a byte; calls have time-outs of their own."""


class HttpLink:
    """How one server is reached. `locked` tells that it asked for a login and none is at hand."""

    def __init__(self, config: ServerConfig, login: Login | None = None, person: Person | None = None):
        self._config = config
        self._login = login
        self._person = person
        self._auth: httpx2.Auth | None = None
        self.locked = False

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncGenerator[Streams]:
        from mcp.client.sse import sse_client
        from mcp.client.streamable_http import streamable_http_client

        if self._login and (self._person or self._login.known):
            self._auth = self._login.provider(self._person)
        if self._config.kind == "sse":
            async with sse_client(self._config.url, httpx_client_factory=self._client_for_sse) as streams:
                yield streams
            return
        async with (
            self._client() as client,
            streamable_http_client(self._config.url, http_client=client, max_sse_event_size=MESSAGE) as streams,
        ):
            yield streams

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            # Bounds are on what comes over the wire, so that must be what is read.
            headers={"accept-encoding": "identity", **self._config.headers},
            timeout=httpx2.Timeout(_CONNECTING, read=_SILENCE),
            auth=self._auth,
            event_hooks={"response": [self._seen]},
        )

    def _client_for_sse(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        del headers, timeout, auth
        return self._client()

    async def _seen(self, response: httpx2.Response) -> None:
        if response.request.url == self._config.url:
            self.locked = response.status_code == 401
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            response.stream = Bounded(response.stream, packed="content-encoding" in response.headers)


class Bounded(httpx2.AsyncByteStream):
    """A body of at most `MESSAGE` bytes as they come over the wire. A stream of events has a bound for each event."""

    def __init__(self, stream: object, *, packed: bool):
        assert isinstance(stream, httpx2.AsyncByteStream)
        self._stream = stream
        self._packed = packed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        if self._packed:
            raise httpx2.StreamError("the answer is compressed, though that was not asked for")
        async for chunk in self._stream:
            size += len(chunk)
            if size > MESSAGE:
                raise httpx2.StreamError(f"the answer has more than {MESSAGE // 1_000_000} MB and was dropped")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
