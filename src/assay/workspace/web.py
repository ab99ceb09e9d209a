"""Pages of the web, by GET over HTTP/1.1: the name resolved once, its addresses judged, the judged one dialled.

With a proxy in the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) the proxy resolves names; what can be
told here of a private address is refused all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from assay._version import __version__
from assay.core.egress import Exchange, Outbound, Permit, Watch
from assay.core.web import Page, WebError, host_of

if TYPE_CHECKING:
    import ssl

    from assay.workspace.sandbox.egress.dial import Connection
    from assay.workspace.sandbox.egress.http1 import Head

SECONDS = 40.0
"""For one page, redirects included."""
IDLE = 20.0
REDIRECTS = 5
LASTS = 15 * 60.0
"""Seconds that a page is kept for whoever asks again."""
_KEPT = 32
_SENT = (
    ("User-Agent", f"assay/{__version__}"),
    ("Accept", "text/markdown, text/html;q=0.9, text/plain;q=0.9, application/json;q=0.9, */*;q=0.5"),
    ("Accept-Encoding", "gzip"),
    ("Connection", "close"),
)
_SAFE = "%/:?#[]@!$&'()*+,;=-._~"


class _Place(NamedTuple):
    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        usual = 443 if self.scheme == "https" else 80
        return self.host if self.port == usual else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


class HttpWeb:
    """Implements `core.web.Web`.

    `hosts`: what judges requests to the hosts that the user's egress settings name; others go to public addresses only.
    `private`: hosts that may have a private address. `watch` knows secrets, which no URL may hold. `note` is told of
    each request. `now`: seconds, for the cache.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        hosts: Mapping[str, Permit] | None = None,
        private: frozenset[str] = frozenset(),
        watch: Watch | None = None,
        note: Callable[[Exchange], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._hosts = hosts or {}
        self._private = private
        self._watch = watch
        self._note = note
        self._now = now
        self._cache: dict[tuple[str, int], tuple[float, Page]] = {}
        self._tls: ssl.SSLContext | None = None

    async def get(self, url: str, limit: int) -> Page:
        place = _place(url)
        kept = self._cache.get((place.url, limit))
        if kept and self._now() - kept[0] < LASTS:
            return kept[1]
        try:
            async with asyncio.timeout(SECONDS):
                page = await self._followed(place, limit)
        except TimeoutError:
            raise WebError(f"{place.host}: no whole answer within {SECONDS:g} s") from None
        if page.status < 400:
            self._cache.pop((place.url, limit), None)
            self._cache[place.url, limit] = (self._now(), page)
            while len(self._cache) > _KEPT:
                del self._cache[next(iter(self._cache))]
        return page

    async def _followed(self, place: _Place, limit: int) -> Page:
        from urllib.parse import urljoin

        for _ in range(REDIRECTS + 1):
            head, data, cut = await self._asked(place, limit)
            moved = head.all("location")
            if head.status not in (301, 302, 303, 307, 308) or not moved:
                kind, _, rest = next(iter(head.all("content-type")), "").partition(";")
                return Page(place.url, head.status, kind.strip().lower(), data, _charset(rest), cut=cut)
            there = urljoin(place.url, moved[0].encode("latin-1").decode("utf-8", "replace"))
            if host_of(there) != place.host:
                return Page(place.url, head.status, "", b"", redirect=there[:2_000])
            place = _place(there)
        raise WebError(f"{place.host}: more than {REDIRECTS} redirects")

    async def _asked(self, place: _Place, limit: int) -> tuple[Head, bytes, bool]:
        from assay.workspace.sandbox.egress.dial import Refused
        from assay.workspace.sandbox.egress.http1 import BadMessage

        status, received, reason = 0, 0, ""
        try:
            connection = await self._connected(place, private=self._judged(place))
            try:
                head, data, cut = await _exchanged(connection, place, limit)
            finally:
                connection.writer.close()
            status, received = head.status, len(data)
            data, more = _plain(head, data, limit)
            return head, data, cut or more
        except (Refused, BadMessage, OSError, asyncio.IncompleteReadError) as error:
            silent = isinstance(error, TimeoutError)
            reason = f"nothing came for {IDLE:g} s" if silent else str(error) or "the connection broke"
            raise WebError(reason if place.host in reason else f"{place.host}: {reason}") from error
        finally:
            if self._note:
                self._note(_exchange(place, received, status, reason))

    def _judged(self, place: _Place) -> bool:
        """Whether the host may have a private address. Raises `WebError` when settings forbid the request."""
        if self._watch and self._watch.found(place.url.encode()):
            raise WebError(f"{place.host}: a known secret is in the URL")
        permit = self._hosts.get(place.host)
        if permit is None:
            return place.host in self._private
        scheme = "https" if place.scheme == "https" else "http"
        asked = Outbound("GET", scheme, place.host, place.port, place.target, size=len(place.target))
        passage = permit(asked)
        if not passage.allowed:
            raise WebError(passage.reason)
        return passage.private or place.host in self._private

    async def _connected(self, place: _Place, *, private: bool) -> Connection:
        from assay.workspace.sandbox.egress.dial import Connection, Refused, dial, unfit
        from assay.workspace.sandbox.egress.http1 import LONGEST_HEAD

        tls = await self._context() if place.scheme == "https" else None
        proxy = "" if private else proxy_for(place.scheme, place.host, self._environ)
        if not proxy:
            return await dial(place.host, place.port, private=private, tls=tls, limit=2 * LONGEST_HEAD)
        if reason := await unfit(place.host, place.port):
            raise Refused(f"{place.host}: {reason}")
        scheme, _, there = proxy.rpartition("://")
        door = _place(f"{scheme or 'http'}://{there.rpartition('@')[2]}")
        outer = await self._context() if door.scheme == "https" else None
        reader, writer = await dial(door.host, door.port, private=True, tls=outer, limit=2 * LONGEST_HEAD)
        try:
            await _through(reader, writer, place, _leave(proxy))
            if tls:
                await writer.start_tls(tls, server_hostname=place.host)
        except BaseException:
            writer.close()
            raise
        return Connection(reader, writer)

    async def _context(self) -> ssl.SSLContext:
        import ssl

        if self._tls is None:
            file, folder = (self._environ.get(name) or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
            made = await asyncio.to_thread(ssl.create_default_context, cafile=file, capath=folder)
            made.set_alpn_protocols(["http/1.1"])
            self._tls = made
        return self._tls


async def _exchanged(connection: Connection, place: _Place, limit: int) -> tuple[Head, bytes, bool]:
    """The answer: its head, at most `limit` bytes of what follows, and whether there was more."""
    from assay.workspace.sandbox.egress.http1 import BadMessage, Body, framing_of, read_head, render

    reader, writer = connection
    writer.write(render(f"GET {place.target} HTTP/1.1", [("Host", place.authority), *_SENT]))
    await writer.drain()
    head = None
    for _ in range(5):
        head = await read_head(reader, response=True)
        if head is None:
            raise BadMessage("it closed the connection without an answer")
        if head.status >= 200:
            break
    if head is None or head.status < 200:
        raise BadMessage("no answer but interim ones")
    body = Body(reader, framing_of(head, "GET"), IDLE)
    data = bytearray()
    while len(data) <= limit and (piece := await body.next()):
        data += piece
    return head, bytes(data[:limit]), len(data) > limit


async def _through(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: _Place, leave: list[tuple[str, str]]
) -> None:
    """Have the proxy connect to `place`. Raises `BadMessage`."""
    from assay.workspace.sandbox.egress.http1 import BadMessage, read_head, render

    there = f"{place.host}:{place.port}"
    writer.write(render(f"CONNECT {there} HTTP/1.1", [("Host", there), *leave]))
    await writer.drain()
    head = await read_head(reader, response=True)
    if head is None or not 200 <= head.status < 300:
        raise BadMessage(f"the proxy refused to connect ({head.status if head else 'no answer'})")


def _leave(proxy: str) -> list[tuple[str, str]]:
    """The header that a proxy with a user and password in its URL wants."""
    from base64 import b64encode
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not parts.username:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return [("Proxy-Authorization", f"Basic {b64encode(pair.encode()).decode('ascii')}")]


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """The proxy that the environment names for a host, or nothing."""
    for name in ("no_proxy", "NO_PROXY"):
        for word in environ.get(name, "").replace(",", " ").split():
            suffix = word.casefold().lstrip("*").lstrip(".").partition(":")[0]
            if word == "*" or (suffix and (host == suffix or host.endswith(f".{suffix}"))):
                return ""
    names = (f"{scheme}_proxy", "all_proxy")
    return next((value for name in names for key in (name, name.upper()) if (value := environ.get(key))), "")


def _place(url: str) -> _Place:
    """Raises `WebError`."""
    from urllib.parse import quote, urlsplit

    host, parts = host_of(url), urlsplit(url.strip())
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    return _Place(parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80), target)


def _charset(parameters: str) -> str:
    for word in parameters.split(";"):
        name, _, value = word.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()[:40]
    return ""


def _plain(head: Head, data: bytes, limit: int) -> tuple[bytes, bool]:
    """The content without its coding, at most `limit` bytes, and whether there is more. Raises `BadMessage`."""
    import zlib

    from assay.workspace.sandbox.egress.http1 import BadMessage

    codings = head.listed("content-encoding") - {"identity"}
    if not codings:
        return data, False
    if codings - {"gzip", "x-gzip"}:
        raise BadMessage(f"its content is encoded as {', '.join(sorted(codings))[:60]}, which was not asked for")
    try:
        inflating = zlib.decompressobj(wbits=31)
        return inflating.decompress(data, limit), bool(inflating.unconsumed_tail)
    except zlib.error as error:
        raise BadMessage("its content is not the gzip data that it says") from error


def _exchange(place: _Place, received: int, status: int, reason: str) -> Exchange:
    from hashlib import sha256

    path = sha256(place.target.encode()).hexdigest()[:12]
    return Exchange("GET", place.host, place.port, path, len(place.target), received, status, reason)
