"""HTTP/1.1 to one server, straight over asyncio: the shortest way to a first request.

A client library costs about 85 ms of processor time until its first request is out; this costs about two. It knows what
a streaming POST needs and no more (RFC 9112: status line, headers, chunked or counted or closed bodies, reuse of a
connection). Whatever needs a proxy goes through `httpx2` instead; `assay.models.http` chooses.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from assay.core.messages import FailureKind

READ = 64 * 1024
HEAD_LIMIT = 256 * 1024


class WireError(Exception):
    """A request that got no whole answer. `kind` is what the failure is called, `str(error)` says why."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


class Address:
    """Where a URL points: `scheme`, `host`, `port`, `target`. Raises ValueError for what is not an http(s) URL."""

    def __init__(self, url: str) -> None:
        self.scheme, mark, rest = url.partition("://")
        authority, _, path = rest.partition("/")
        if not mark or self.scheme not in ("http", "https") or not authority or "@" in authority or " " in url:
            raise ValueError(f"not an http or https URL: {url}")
        host, colon, port = authority.rpartition(":")
        if not colon or "]" in port:
            host, port = authority, ""
        self.host = host.strip("[]")
        self.port = int(port) if port else 443 if self.scheme == "https" else 80
        self.authority = authority
        self.target = "/" + path

    @property
    def loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


class Chunks:
    """Undoes chunked transfer coding, in any slicing."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._state = "size"
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`. Raises `WireError`."""
        buffer = self._buffer + data if self._buffer else data
        out: list[bytes] = []
        at = 0
        while not self.done:
            if self._state == "data":
                piece = buffer[at : at + self._left]
                if not piece:
                    break
                out.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._state = "end"
            line_end = buffer.find(b"\n", at)
            if line_end < 0:
                break
            line = buffer[at:line_end].strip()
            at = line_end + 1
            self._take_line(line)
        self._buffer = buffer[at:]
        if len(self._buffer) > READ:
            raise WireError("protocol", "the server sent a broken chunked reply")
        return b"".join(out)

    def _take_line(self, line: bytes) -> None:
        if self._state == "end":
            self._state = "size"
        elif self._state == "trailer":
            self.done = not line
        else:
            try:
                self._left = int(line.partition(b";")[0], 16)
            except ValueError:
                raise WireError("protocol", "the server sent a broken chunked reply") from None
            self._state = "data" if self._left > 0 else "trailer"


class Counted:
    """A body of known length, or (with -1) one that ends when the connection does."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.until_closed = length < 0
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        if self.until_closed:
            return data
        piece = data[: self._left]
        self._left -= len(piece)
        self.done = self._left <= 0
        return piece


class Connection:
    """One open socket and what it is good for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.used = False

    @property
    def open(self) -> bool:
        return not self.writer.is_closing() and not self.reader.at_eof()

    def abort(self) -> None:
        self.writer.transport.abort()


class DirectResponse:
    """An answer whose body is still to be read."""

    def __init__(
        self, status: int, headers: dict[str, str], connection: Connection, keep: Callable[[Connection], None]
    ) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._keep = keep
        self._closed = False
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._body: Chunks | Counted = Chunks()
        else:
            length = headers.get("content-length", "")
            self._body = Counted(int(length) if _count(length) else -1)

    async def read(self) -> bytes:
        """The next piece, empty at the proper end. Raises `WireError` of kind `cut` when it ends too soon."""
        while not self._body.done:
            try:
                data = await self._connection.reader.read(READ)
            except (OSError, ssl.SSLError) as error:
                raise WireError("cut", f"the connection broke in the middle of the reply ({reason(error)})") from None
            if not data:
                if isinstance(self._body, Counted) and self._body.until_closed:
                    return b""
                raise WireError("cut", "the connection closed in the middle of the reply")
            if piece := self._body.feed(data):
                return piece
        return b""

    async def close(self) -> None:
        """Give the connection back when the body was read to its end, drop it otherwise."""
        if self._closed:
            return
        self._closed = True
        if self._body.done and self._connection.open and "close" not in self.headers.get("connection", "").lower():
            self._keep(self._connection)
        else:
            self._connection.abort()


class DirectWire:
    """Requests to servers that are reached without a proxy; idle connections are kept, a few an origin."""

    def __init__(self, tls: Callable[[], ssl.SSLContext], connect_timeout: float) -> None:
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._idle: dict[str, list[Connection]] = {}

    async def post(self, url: str, headers: dict[str, str], body: bytes, patience: float) -> DirectResponse:
        """Send, then wait at most `patience` seconds for the answer's headers. Raises `WireError`, `TimeoutError`."""
        address = Address(url)
        lines = [f"POST {address.target} HTTP/1.1", f"host: {address.authority}", "accept-encoding: identity"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"content-length: {len(body)}\r\n\r\n")
        head = "\r\n".join(lines).encode("latin-1", "replace")
        while True:
            connection = await self._connection(address)
            try:
                async with asyncio.timeout(patience):
                    return await self._exchange(connection, head, body, f"{address.scheme}://{address.authority}")
            except WireError:
                connection.abort()
                if not connection.used:
                    raise
                # The server closed a kept connection just as we wrote to it: a new one answers for sure or says why.
            except BaseException:
                connection.abort()
                raise

    async def _connection(self, address: Address) -> Connection:
        idle = self._idle.get(f"{address.scheme}://{address.authority}", [])
        while idle:
            connection = idle.pop()
            if connection.open:
                connection.used = True
                return connection
            connection.abort()
        tls = self._tls() if address.scheme == "https" else None
        name = address.host if tls else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                streams = await asyncio.open_connection(
                    address.host, address.port, ssl=tls, server_hostname=name, limit=HEAD_LIMIT
                )
        except TimeoutError:
            raise WireError("network", f"no connection within {self._connect_timeout:g} s") from None
        except (OSError, ssl.SSLError, UnicodeError) as error:
            raise WireError("network", f"no connection ({reason(error)})") from None
        return Connection(*streams)

    async def _exchange(self, connection: Connection, head: bytes, body: bytes, origin: str) -> DirectResponse:
        try:
            connection.writer.write(head + body)
            await connection.writer.drain()
            while True:
                raw = await connection.reader.readuntil(b"\r\n\r\n")
                status, fields = parse_head(raw)
                if status >= 200:
                    break
        except asyncio.LimitOverrunError:
            raise WireError("protocol", "the server's headers are too long") from None
        except asyncio.IncompleteReadError:
            raise WireError("network", "the server closed the connection without an answer") from None
        except (OSError, ssl.SSLError) as error:
            raise WireError("network", f"the connection broke before the answer ({reason(error)})") from None
        return DirectResponse(status, fields, connection, lambda kept: self._idle.setdefault(origin, []).append(kept))

    async def aclose(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()


def parse_head(raw: bytes) -> tuple[int, dict[str, str]]:
    """Status and lower-cased headers of an answer. Raises `WireError`."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or len(rest) < 3 or not _count(rest[:3]):
        raise WireError("protocol", "the server does not speak HTTP/1.1")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip().lower()
            fields[name] = f"{fields[name]}, {value.strip()}" if name in fields else value.strip()
    return int(rest[:3]), fields


def _count(text: str) -> bool:
    """Whether `text` is a number that a header may hold. Latin-1 has digits that are none for `int`."""
    return text.isascii() and text.isdigit() and len(text) < 19


def reason(error: Exception) -> str:
    """The plain words of an operating-system or TLS error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; SSL_CERT_FILE names further authorities"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
