"""Logins to servers over HTTP: OAuth 2.1 with an authorization code, by the library; tokens in files of ours.

Sources: the authorization chapter of the protocol's specification; RFC 8252 (loopback redirection).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct, json

from assay.core.messages import Json
from assay.tools.mcp.peer import NeedsAuth, ServerError

if TYPE_CHECKING:
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthToken

WAIT = 300.0
"""Seconds that a person has to log in."""
_REQUEST = 16_000


class _Stored(Struct):
    url: str
    tokens: Json = None
    client: Json = None


class Login:
    """The login to one server: a file that only the user can read. It is bound to the server's URL: a server that moved
    gets nothing."""

    def __init__(self, directory: Path, name: str, url: str):
        self._url = url
        self._path = directory / f"{sha256(f'{name}|{url}'.encode()).hexdigest()[:24]}.json"

    @property
    def known(self) -> bool:
        """There is a token, be it one that has run out."""
        stored = self._read()
        return stored is not None and stored.tokens is not None

    def forget(self) -> bool:
        """True when there was something to forget."""
        known = self.known
        self._path.unlink(missing_ok=True)
        return known

    def provider(self, person: Person | None = None) -> OAuthClientProvider:
        """What adds the token to requests, and renews it. Without a `person` a new login is refused."""
        from mcp.client.auth import OAuthClientProvider
        from mcp.shared.auth import OAuthClientMetadata
        from pydantic import AnyUrl

        callback = person.address if person else "http://127.0.0.1/callback"
        return OAuthClientProvider(
            self._url,
            OAuthClientMetadata(
                client_name="assay",
                redirect_uris=[AnyUrl(callback)],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
                token_endpoint_auth_method="none",  # noqa: S106 - a method, no password
            ),
            self,
            person.send if person else _nobody,
            person.answer if person else None,
        )

    async def get_tokens(self) -> OAuthToken | None:
        from mcp.shared.auth import OAuthToken

        stored = self._read()
        return OAuthToken.model_validate(stored.tokens) if stored and stored.tokens else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        stored = self._read() or _Stored(self._url)
        stored.tokens = tokens.model_dump(mode="json", exclude_none=True)
        self._write(stored)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        from mcp.shared.auth import OAuthClientInformationFull

        stored = self._read()
        return OAuthClientInformationFull.model_validate(stored.client) if stored and stored.client else None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        stored = self._read() or _Stored(self._url)
        stored.client = client_info.model_dump(mode="json", exclude_none=True)
        self._write(stored)

    def _read(self) -> _Stored | None:
        with contextlib.suppress(OSError, ValueError):
            stored = json.decode(self._path.read_bytes(), type=_Stored)
            return stored if stored.url == self._url else None
        return None

    def _write(self, stored: _Stored) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.encode(stored))
        new.replace(self._path)


async def _nobody(url: str) -> None:
    del url
    raise NeedsAuth("it wants a login")


class Person:
    """Someone with a browser: is shown where to go, and comes back to a port of ours on this machine."""

    def __init__(self, show: Callable[[str], Awaitable[None]], port: int = 0):
        self._show = show
        self._port = port
        self._server: asyncio.Server | None = None
        self._came: asyncio.Future[dict[str, str]] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/callback"

    async def __aenter__(self) -> Person:
        self._came = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_server(self._visited, "127.0.0.1", self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    async def send(self, url: str) -> None:
        await self._show(url)

    async def answer(self) -> AuthorizationCodeResult:
        from mcp.shared.auth import AuthorizationCodeResult

        assert self._came
        try:
            async with asyncio.timeout(WAIT):
                given = await self._came
        except TimeoutError:
            raise ServerError(f"nobody logged in within {WAIT:.0f} s; run it again") from None
        if error := given.get("error"):
            raise ServerError(f"the login was refused: {error} {given.get('error_description', '')}".strip())
        return AuthorizationCodeResult(code=given.get("code", ""), state=given.get("state"), iss=given.get("iss"))

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                line = (await reader.readuntil(b"\r\n")).decode("latin-1")[:_REQUEST]
            target = urlsplit(line.split(" ")[1] if line.count(" ") == 2 else "/")
            given = {key: values[0] for key, values in parse_qs(target.query).items()}
            ours = line.startswith("GET ") and target.path == "/callback" and bool({"code", "error"} & given.keys())
            text = "You can close this window and go back to the terminal." if ours else "Nothing here."
            body = f"<!doctype html><meta charset=utf-8><title>assay</title><p>{text}".encode()
            status = "200 OK" if ours else "404 Not Found"
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close"
            writer.write(f"{head}\r\n\r\n".encode() + body)
            await writer.drain()
            if ours and self._came and not self._came.done():
                self._came.set_result(given)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
