"""How requests reach a model's server: time-outs, proxies and certificates, in one place.

The environment is read as other tools read it: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (upper or lower case),
SSL_CERT_FILE and SSL_CERT_DIR. Loopback never goes through a proxy.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from assay.models.wire import Address, DirectWire, WireError, reason

if TYPE_CHECKING:
    import httpx2


class Timeouts(Struct, frozen=True):
    """Seconds. Each guards one silence, so that a long answer is never cut for being long."""

    connect: float = 10.0
    first_byte: float = 120.0
    """From the request to the answer's headers, and from these to the first byte of its body."""
    idle: float = 60.0
    """Between two pieces of the answer."""


class RawResponse(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> dict[str, str]: ...

    async def read(self) -> bytes: ...

    async def close(self) -> None: ...


class Wire(Protocol):
    """Contract: `post` and `read` raise only `WireError`, `post` also `TimeoutError` when its patience ends; `close`
    drops a connection that is not at its end."""

    async def post(self, url: str, headers: dict[str, str], body: bytes, patience: float) -> RawResponse:
        """`patience`: seconds from the request to the answer's headers, connecting not counted."""
        ...

    async def aclose(self) -> None: ...


class Response:
    """An answer with its silences guarded."""

    def __init__(self, raw: RawResponse, timeouts: Timeouts) -> None:
        self.status = raw.status
        self.headers = raw.headers
        self._raw = raw
        self._timeouts = timeouts
        self._begun = False

    async def read(self) -> bytes:
        """The next piece of the body, empty at its end. Raises `WireError` (`cut`, `timeout`, `protocol`)."""
        patience = self._timeouts.idle if self._begun else self._timeouts.first_byte
        try:
            async with asyncio.timeout(patience):
                data = await self._raw.read()
        except TimeoutError:
            raise _silence(patience, first=not self._begun) from None
        self._begun = True
        return data

    async def read_all(self, limit: int) -> bytes:
        """The rest of the body, at most about `limit` bytes; what breaks on the way ends it early."""
        pieces: list[bytes] = []
        size = 0
        try:
            while size < limit and (piece := await self.read()):
                pieces.append(piece)
                size += len(piece)
        except WireError:
            pass  # an error page is read for its words only; half of them still tell
        return b"".join(pieces)

    async def drain(self, seconds: float = 0.2) -> None:
        """After the last event: read the little that follows, so that the connection can be used again."""
        try:
            async with asyncio.timeout(seconds):
                for _ in range(4):
                    if not await self._raw.read():
                        return
        except (TimeoutError, WireError):
            return

    async def close(self) -> None:
        await self._raw.close()


class Http:
    """A client for one run. Connections are opened when first needed and kept until `aclose`."""

    def __init__(self, timeouts: Timeouts = Timeouts()) -> None:  # noqa: B008  frozen
        self.timeouts = timeouts
        self._direct: Wire | None = None
        self._proxied: Wire | None = None
        self._context: ssl.SSLContext | None = None

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Response:
        """Send `body` and return when the answer's headers are there. Raises `WireError`; close the response."""
        patience = self.timeouts.first_byte
        try:
            raw = await self.wire(url).post(url, headers, body, patience)
        except TimeoutError:
            raise _silence(patience, first=True) from None
        return Response(raw, self.timeouts)

    def wire(self, url: str) -> Wire:
        """The transport that `url` needs."""
        try:
            address = Address(url)
        except ValueError as error:
            raise WireError("bad_request", str(error)) from None
        if address.loopback or not proxy_for(address.scheme):
            self._direct = self._direct or DirectWire(self.tls, self.timeouts.connect)
            return self._direct
        self._proxied = self._proxied or HttpxWire(self.tls, self.timeouts.connect)
        return self._proxied

    def tls(self) -> ssl.SSLContext:
        """The TLS settings, made once (some 30 ms: the authorities are parsed). Raises `WireError`."""
        self._context = self._context or tls_context()
        return self._context

    async def warm(self, url: str) -> None:
        """Do in a thread, while other work waits, what the first request to `url` would have to do."""
        if url.startswith("https://"):
            await asyncio.to_thread(self.tls)

    async def aclose(self) -> None:
        for wire in (self._direct, self._proxied):
            if wire is not None:
                await wire.aclose()
        self._direct = self._proxied = None


def _silence(seconds: float, *, first: bool) -> WireError:
    where = "no answer" if first else "the reply stalled: nothing more came"
    return WireError("timeout", f"{where} within {seconds:g} s")


def proxy_for(scheme: str) -> str:
    """The proxy that the environment names for `scheme`, or nothing."""
    names = (f"{scheme}_proxy", "all_proxy")
    return next((value for name in names for key in (name, name.upper()) if (value := os.environ.get(key))), "")


def tls_context() -> ssl.SSLContext:
    """Certificates checked against SSL_CERT_FILE or SSL_CERT_DIR, else the operating system's authorities."""
    file, folder = os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
    try:
        if file or folder:
            return ssl.create_default_context(cafile=file, capath=folder)
    except (OSError, ssl.SSLError) as error:
        name, value = ("SSL_CERT_FILE", file) if file else ("SSL_CERT_DIR", folder)
        raise WireError("bad_request", f"{name}={value} can't be read as certificates ({reason(error)})") from None
    paths = ssl.get_default_verify_paths()
    if sys.platform == "linux" and (paths.cafile or paths.capath):
        return ssl.create_default_context()
    import httpx2  # elsewhere the authorities are the system's own (truststore), or must be searched for

    return httpx2.create_ssl_context()


class HttpxResponse:
    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._pieces = response.aiter_raw()

    async def read(self) -> bytes:
        import httpx2

        try:
            return await anext(self._pieces, b"")
        except httpx2.HTTPError as error:
            raise WireError("cut", f"the connection broke in the middle of the reply ({reason(error)})") from None

    async def close(self) -> None:
        await self._response.aclose()


class HttpxWire:
    """The way through a proxy."""

    def __init__(self, tls: Callable[[], ssl.SSLContext], connect_timeout: float) -> None:
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._client: httpx2.AsyncClient | None = None

    def client(self) -> httpx2.AsyncClient:
        import httpx2

        if self._client is None:
            timeout = httpx2.Timeout(None, connect=self._connect_timeout)
            self._client = httpx2.AsyncClient(verify=self._tls(), timeout=timeout)
        return self._client

    async def post(self, url: str, headers: dict[str, str], body: bytes, patience: float) -> HttpxResponse:
        import httpx2

        client = self.client()
        request = client.build_request("POST", url, headers=headers | {"accept-encoding": "identity"}, content=body)
        try:
            async with asyncio.timeout(self._connect_timeout + patience):
                return HttpxResponse(await client.send(request, stream=True))
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            raise WireError("network", f"no answer through the proxy ({reason(error)})") from None

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None
