"""One connection of a command with the proxy: forwarded requests, a tunnel, or TLS that ends here."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

from assay.core.egress import Passage, host_and_port
from assay.workspace.sandbox.egress.dial import Connection, Refused, dial
from assay.workspace.sandbox.egress.guards import Push, Stopped, Watched
from assay.workspace.sandbox.egress.http1 import (
    CHUNKED,
    LONGEST_HEAD,
    NOTHING,
    UNTIL_CLOSE,
    BadMessage,
    Body,
    Framing,
    Head,
    Pieces,
    framed,
    framing_header,
    framing_of,
    read_head,
    render,
)
from assay.workspace.sandbox.egress.tunnel import Relay

if TYPE_CHECKING:
    from assay.workspace.sandbox.egress.proxy import Egress

HEAD = 30.0
"""Seconds for a head to arrive whole, from the end of what came before it."""
ANSWER = 120.0
"""Seconds for a host to begin its answer."""
IDLE = 120.0
"""Seconds without a byte in the middle of a body or a tunnel."""
LINGER = 2.0
"""Seconds for a client to take a refusal."""
_NARROW = frozenset({"accept", "accept-encoding", "range", "if-none-match", "if-modified-since", "if-range"})
"""What a download needs; with a narrow passage nothing else goes out."""
_INTERIM = 5


class Asked(NamedTuple):
    """A request whose host passed the grammar."""

    head: Head
    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        usual = 443 if self.scheme == "https" else 80
        return self.host if self.port == usual else f"{self.host}:{self.port}"


class Denied(Exception):
    """The request goes no further; `str()` is for the one who asked, `status` too."""

    def __init__(self, why: str, status: int = 403) -> None:
        super().__init__(why)
        self.status = status


class Conversation:
    def __init__(self, egress: Egress, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._egress = egress
        self._reader = reader
        self._writer = writer
        self._within: tuple[str, int] | None = None
        """The host that a CONNECT named, when TLS ends here."""
        self._upstream: Connection | None = None
        self._reaches: tuple[str, str, int] | None = None
        self._begun = False
        """Bytes of an answer are on their way to the client."""
        self._sent = self._received = 0

    async def serve(self) -> None:
        """Until the connection ends; never raises but when cancelled."""
        try:
            while await self._one():
                pass
        except (BadMessage, Denied) as error:
            await self._refuse(str(error), error.status)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self._writer.transport.abort()
        finally:
            for writer in (self._writer, self._upstream.writer if self._upstream else None):
                if writer:
                    writer.close()
                    with contextlib.suppress(OSError, TimeoutError):
                        async with asyncio.timeout(1):
                            await writer.wait_closed()

    async def _one(self) -> bool:
        """One request and its answer; False when no other can follow on this connection."""
        self._begun = False
        self._sent = self._received = 0
        async with asyncio.timeout(HEAD):
            head = await read_head(self._reader)
        if head is None:
            return False
        if head.method == "CONNECT":
            return await self._connect(head)
        asked = self._asked(head)
        status, reason = 0, ""
        try:
            status, lasting = await self._exchange(asked)
            return lasting
        except (Denied, BadMessage) as error:
            status, reason = error.status, str(error)
            raise
        except (OSError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            if self._begun:
                raise
            raise Denied(f"{asked.host}: {reason}", 504 if isinstance(error, TimeoutError) else 502) from error
        finally:
            self._told(head.method, asked.host, asked.port, asked.target, status, reason)

    def _told(self, method: str, host: str, port: int, target: str, status: int, reason: str) -> None:
        self._egress.told(method, host, port, target, (self._sent, self._received), status, reason)

    async def _refuse(self, why: str, status: int) -> None:
        if self._begun:
            self._writer.transport.abort()
            return
        # Clients show the phrase of a refused CONNECT and nothing of its body.
        line = "".join(letter if " " <= letter <= "~" else "?" for letter in f"assay: {why}")
        body = f"{line}\n".encode()
        head = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close")]
        self._writer.write(render(f"HTTP/1.1 {status} {line}", head) + body)
        halves = self._writer.can_write_eof()  # TLS can't end one direction alone
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER if halves else LINGER / 10):
                await self._writer.drain()
                if halves:
                    self._writer.write_eof()
                # What is still coming is read and dropped, or the refusal would be lost in a reset.
                while await self._reader.read(LONGEST_HEAD):
                    pass

    def _asked(self, head: Head) -> Asked:
        """The request with its destination, which every part of it has to agree on. Raises `BadMessage`."""
        if self._within:
            scheme, (host, port), target = "https", self._within, head.target
        else:
            scheme = "http"
            start, _, rest = head.target.partition("://")
            authority, slash, path = rest.partition("/")
            found = host_and_port(authority, 80)
            if start.lower() != "http" or not found or not slash:
                raise BadMessage("this is a proxy: expected http://host/path or CONNECT host:port")
            (host, port), target = found, f"/{path}"
        if not target.startswith("/") or "#" in target:
            raise BadMessage("the target is not a path")
        named = head.all("host")
        if len(named) > 1 or (not named and head.version == 1):
            raise BadMessage("expected one Host")
        if named and host_and_port(named[0], 443 if self._within else 80) != (host, port):
            raise BadMessage("Host names another host than the request is for")
        return Asked(head, scheme, host, port, target)

    # --- CONNECT --------------------------------------------------------------------------------------------------

    async def _connect(self, head: Head) -> bool:
        if self._within:
            raise BadMessage("no CONNECT within CONNECT")
        found = host_and_port(head.target, None)
        named = head.all("host")
        if not found:
            raise BadMessage("CONNECT takes host:port, with a name of letters, digits and hyphens")
        if len(named) > 1 or (named and host_and_port(named[0], found[1]) != found):
            raise BadMessage("Host names another host than the request is for")
        if framing_of(head) != NOTHING:
            raise BadMessage("CONNECT takes no body")
        host, port = found
        passage = self._egress.ask("CONNECT", "https", host, port)
        if not passage.allowed:
            self._told("CONNECT", host, port, "", 403, passage.reason)
            raise Denied(passage.reason)
        if passage.tunnel:
            await self._tunnel(host, port, passage)
            return False
        context = self._egress.authority.context(host)
        self._writer.write(b"HTTP/1.1 200 established\r\n\r\n")
        await self._writer.start_tls(context, ssl_handshake_timeout=HEAD)
        self._within = found
        return True

    async def _tunnel(self, host: str, port: int, passage: Passage) -> None:
        relay = Relay(self._reader, self._writer, host, self._egress.watch, lambda: self._egress.answered(host))
        status, reason = 502, ""
        try:
            self._upstream = await dial(host, port, private=passage.private, tls=None, limit=LONGEST_HEAD)
            self._writer.write(b"HTTP/1.1 200 established\r\n\r\n")
            self._begun, status = True, 200
            reason = await relay.run(self._upstream)
        except Refused as error:
            reason = str(error)
            raise Denied(reason, 502) from error
        finally:
            self._sent, self._received = relay.sent, relay.received
            self._told("CONNECT", host, port, "", status, reason)

    # --- one request ----------------------------------------------------------------------------------------------

    async def _exchange(self, asked: Asked) -> tuple[int, bool]:
        """Returns the status and whether the connection can serve another request."""
        head = asked.head
        framing = framing_of(head)
        narrow = tuple(value for name, value in head.passed_on() if name.lower() in _NARROW)
        passage = self._egress.ask(
            head.method, asked.scheme, asked.host, asked.port,
            target=asked.target, body=not framing.empty, values=narrow,
        )  # fmt: skip
        if not passage.allowed:
            raise Denied(passage.reason)
        text = self._outgoing(asked, passage, framing)
        body = self._body(framing, passage)
        if "100-continue" in head.listed("expect") and not framing.empty:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            # Until its first piece was judged, nothing of the request goes out.
            first = await body.next() if not framing.empty else b""
            answer = await self._send(asked, passage, text, (body, first, framing))
        except Stopped as error:
            raise Denied(f"{asked.host}: not sent: {error}") from error
        except Refused as error:
            raise Denied(str(error), 502) from error
        return answer.status, await self._answer(asked, passage, answer)

    def _outgoing(self, asked: Asked, passage: Passage, framing: Framing) -> bytes:
        """The head as it goes out. Raises `Denied` when a secret is in what the command wrote of it."""
        headers = asked.head.passed_on()
        if passage.narrow:
            headers = [(name, value) for name, value in headers if name.lower() in _NARROW]
            headers.append(("User-Agent", "assay"))
        if passage.push:
            headers = [(name, value) for name, value in headers if name.lower() != "content-encoding"]
            if asked.head.all("content-encoding"):
                raise Denied(f"{asked.host}: a compressed push can't be judged")
        if passage.credential:
            own = passage.credential[0].lower()
            headers = [(name, value) for name, value in headers if name.lower() not in (own, "accept-encoding")]
            # What comes back is looked through for the credential, which takes it as it is.
            headers.append(("Accept-Encoding", "identity"))
        headers = [("Host", asked.authority), *headers, *framing_header(framing if not framing.empty else NOTHING)]
        if framing.empty and asked.head.method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            headers.pop()
        first = f"{asked.head.method} {asked.target} HTTP/1.1"
        if self._egress.watch.found(render(first, headers)):
            raise Denied(f"{asked.host}: not sent: a known secret is in the request")
        return render(first, [*headers, passage.credential] if passage.credential else headers)

    def _body(self, framing: Framing, passage: Passage) -> Pieces:
        body: Pieces = Watched(Body(self._reader, framing, IDLE), self._egress.watch)
        return Push(body, passage.push) if passage.push and not framing.empty else body

    async def _send(self, asked: Asked, passage: Passage, text: bytes, content: tuple[Pieces, bytes, Framing]) -> Head:
        """Send the request and read the head of the answer. An idle connection that was closed meanwhile is dialled
        anew once, if nothing can have been done with the request."""
        body, piece, framing = content
        fresh = await self._reach(asked, passage)
        try:
            await self._write(text)
            while piece:
                await self._write(framed(piece, framing))
                piece = await body.next()
            if framing == CHUNKED:
                await self._write(framed(b"", framing))
            answer = await self._read_answer()
        except OSError:
            if fresh or not framing.empty:
                raise
            answer = None
        if answer is None and not fresh and framing.empty and asked.head.method in ("GET", "HEAD"):
            await self._leave()
            await self._reach(asked, passage)
            await self._write(text)
            answer = await self._read_answer()
        if answer is None:
            raise Denied(f"{asked.host}: ended the connection without an answer", 502)
        self._egress.answered(asked.host)
        return answer

    async def _reach(self, asked: Asked, passage: Passage) -> bool:
        """Have a connection to the host; False when it served an earlier request."""
        wanted = (asked.scheme, asked.host, asked.port)
        if self._upstream and self._reaches == wanted:
            return False
        await self._leave()
        tls = await self._egress.outside() if asked.scheme == "https" else None
        self._upstream = await dial(asked.host, asked.port, private=passage.private, tls=tls, limit=LONGEST_HEAD)
        self._reaches = wanted
        return True

    async def _leave(self) -> None:
        if self._upstream:
            self._upstream.writer.transport.abort()
            self._upstream = self._reaches = None

    async def _write(self, data: bytes) -> None:
        assert self._upstream
        self._sent += len(data)
        self._upstream.writer.write(data)
        async with asyncio.timeout(IDLE):
            await self._upstream.writer.drain()

    async def _read_answer(self) -> Head | None:
        assert self._upstream
        for _ in range(_INTERIM):
            try:
                async with asyncio.timeout(ANSWER):
                    answer = await read_head(self._upstream.reader, response=True)
            except BadMessage as error:
                raise Denied(f"the host's answer is no HTTP: {error}", 502) from error
            if answer is None or answer.status >= 200:
                return answer
            if answer.status == 101:
                break
        raise Denied("the host wants another protocol than HTTP/1.1", 502)

    async def _answer(self, asked: Asked, passage: Passage, answer: Head) -> bool:
        """Pass the answer on; False when the connection can't serve another request."""
        assert self._upstream
        method, lasting = asked.head.method, asked.head.lasting
        try:
            framing = framing_of(answer, method)
        except BadMessage as error:
            raise Denied(f"the host's answer is no HTTP: {error}", 502) from error
        watch = self._egress.watch
        body: Pieces = Body(self._upstream.reader, framing, IDLE)
        headers = answer.passed_on()
        if passage.credential:
            if answer.listed("content-encoding") - {"identity"} or watch.found(render("", headers)):
                raise Denied(f"{asked.host}: its answer could hold the credential", 502)
            body = Watched(body, watch)
        shape = framing
        if framing in (UNTIL_CLOSE, CHUNKED):
            shape = CHUNKED if asked.head.version == 1 else UNTIL_CLOSE
        lasting = lasting and shape != UNTIL_CLOSE
        if framing.empty and (method == "HEAD" or answer.status == 304):
            headers += [("Content-Length", value) for value in answer.all("content-length")]
        elif answer.status not in (204, 304):
            headers += framing_header(shape)
        headers.append(("Connection", "keep-alive" if lasting else "close"))
        self._begun = True
        self._writer.write(render(f"HTTP/1.1 {answer.status} {answer.phrase}", headers))
        try:
            while piece := await body.next():
                self._received += len(piece)
                self._writer.write(framed(piece, shape))
                async with asyncio.timeout(IDLE):
                    await self._writer.drain()
        except Stopped as error:
            raise Denied(f"{asked.host}: the credential is in its answer", 502) from error
        if shape == CHUNKED:
            self._writer.write(framed(b"", shape))
        async with asyncio.timeout(IDLE):
            await self._writer.drain()
        if framing == UNTIL_CLOSE or not answer.lasting:
            await self._leave()
        return lasting
