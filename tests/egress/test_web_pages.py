"""Pages by GET: judged, dialled, verified, bounded, and never from somewhere else than was asked for."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from assay.app.web import LateWeb
from assay.core.egress import Exchange, Host, Operation, Permit
from assay.core.policy import EXTERNAL, WORKSPACE
from assay.core.web import WebError, host_of
from assay.policy.egress import EgressPolicy
from assay.policy.tripwire import Tripwire
from assay.testing.conformance.web import WebConformance
from assay.workspace.web import LASTS, HttpWeb, proxy_for

from .stage import Upstream, serving_tls


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


class TestHttpWeb(WebConformance):
    @pytest.fixture
    async def page(self) -> AsyncIterator[tuple[str, bytes]]:
        async with Upstream(answer(b"ten bytes and more", "Content-Type: text/plain")).up() as host:
            yield f"http://localhost:{host.port}/", b"ten bytes and more"

    @pytest.fixture
    def web(self) -> LateWeb:
        return LateWeb(lambda: HttpWeb({}, private=frozenset({"localhost"})))

    @pytest.fixture
    def dead(self) -> str:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return f"http://localhost:{taken.getsockname()[1]}/"


def web(*names: str, **more: object) -> HttpWeb:
    return HttpWeb({}, private=frozenset(names or ("localhost",)), **more)


async def test_a_page_is_asked_for_and_kept_for_a_while() -> None:
    now = [0.0]
    async with Upstream(answer(b"h\xe9llo", "Content-Type: Text/HTML; charset=Latin-1")).up() as host:
        here = web(now=lambda: now[0])
        url = f"http://localhost:{host.port}/a b?q=\u00fc#part"
        page = await here.get(url, 100)
        assert (page.status, page.media_type, page.charset, page.data) == (200, "text/html", "latin-1", b"h\xe9llo")
        assert page.url == f"http://localhost:{host.port}/a%20b?q=%C3%BC"
        assert host.seen[0].startswith(b"GET /a%20b?q=%C3%BC HTTP/1.1\r\nHost: localhost:")
        assert b"cookie" not in host.seen[0].lower()
        now[0] = LASTS - 1
        assert await here.get(url, 100) == page
        assert len(host.seen) == 1
        now[0] = LASTS
        await here.get(url, 100)
        assert len(host.seen) == 2


async def test_size_and_coding_are_bounded() -> None:
    async with Upstream(answer(gzip.compress(b"x" * 1_000_000), "Content-Encoding: gzip")).up() as host:
        page = await web().get(f"http://localhost:{host.port}/", 1_000)
        assert (page.data, page.cut) == (b"x" * 1_000, True)
        host.answer = answer(b"y" * 2_000)
        page = await web().get(f"http://localhost:{host.port}/", 1_000)
        assert (page.data, page.cut) == (b"y" * 1_000, True)
        host.answer = answer(b"zz", "Content-Encoding: br")
        with pytest.raises(WebError, match="encoded as br"):
            await web().get(f"http://localhost:{host.port}/", 1_000)
        host.answer = answer(b"not gzip", "Content-Encoding: gzip")
        with pytest.raises(WebError, match="not the gzip data"):
            await web().get(f"http://localhost:{host.port}/", 1_000)


async def test_redirects_stay_with_the_host() -> None:
    def reply(request: bytes) -> bytes:
        if b"GET /start" in request:
            return answer(b"", "Location: /end", status="302 Found")
        if b"GET /away" in request:
            return answer(b"", "Location: https://evil.test/x", status="301 Moved")
        if b"GET /round" in request:
            return answer(b"", "Location: /round", status="307 Again")
        return answer(b"there")

    async with Upstream(reply).up() as host:
        base = f"http://localhost:{host.port}"
        page = await web().get(f"{base}/start", 100)
        assert (page.data, page.url) == (b"there", f"{base}/end")
        away = await web().get(f"{base}/away", 100)
        assert (away.redirect, away.data) == ("https://evil.test/x", b"")
        with pytest.raises(WebError, match="more than 5 redirects"):
            await web().get(f"{base}/round", 100)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254"])
async def test_private_addresses_are_refused(name: str) -> None:
    async with Upstream().up() as host:
        for environ in ({}, {"http_proxy": f"http://127.0.0.1:{host.port}"}):
            with pytest.raises(WebError, match=r"private|of this machine"):
                await HttpWeb(environ).get(f"http://{name}:{host.port}/", 100)
        assert host.seen == []


async def test_hosts_of_the_settings_are_judged_by_their_class() -> None:
    label = [WORKSPACE]
    notes: list[Exchange] = []
    async with Upstream(answer(b"said")).up() as host:
        hosts = {"localhost": Host("api", (host.port,), private=True, allow=(Operation("GET", "/v1/*"),))}
        policy = EgressPolicy(hosts, lambda: label[0], {})
        permits: dict[str, Permit] = {"localhost": policy}
        here = HttpWeb({}, hosts=permits, note=notes.append)
        base = f"http://localhost:{host.port}"
        assert (await here.get(f"{base}/v1/a", 100)).data == b"said"
        with pytest.raises(WebError, match="its allow list has no GET"):
            await here.get(f"{base}/v2/a", 100)
        label[0] = WORKSPACE.join(EXTERNAL)
        with pytest.raises(WebError, match="clearance"):
            await here.get(f"{base}/v1/b", 100)
        assert [(note.host, note.status) for note in notes] == [("localhost", 200), ("localhost", 0), ("localhost", 0)]
        assert len(host.seen) == 1


async def test_no_url_carries_a_known_secret() -> None:
    secret = "s3cr3t-Value/with+signs"
    async with Upstream().up() as host:
        here = web(watch=Tripwire([secret]))
        for part in (secret, base64.b64encode(secret.encode()).decode().strip("="), secret.encode().hex()):
            with pytest.raises(WebError, match="a known secret"):
                await here.get(f"http://localhost:{host.port}/?x={part}", 100)
        assert host.seen == []


async def test_certificates_are_verified(tmp_path: Path) -> None:
    context, trusted = serving_tls(tmp_path / "theirs", "localhost")
    async with Upstream(answer(b"secure")).up(context) as host:
        known = HttpWeb({"SSL_CERT_FILE": str(trusted)}, private=frozenset({"localhost"}))
        assert (await known.get(f"https://localhost:{host.port}/", 100)).data == b"secure"
        with pytest.raises(WebError, match="certificate"):
            await web().get(f"https://localhost:{host.port}/", 100)


async def test_a_proxy_of_the_environment_is_used(tmp_path: Path) -> None:
    """The proxy resolves the name; TLS ends at the host, not at the proxy."""
    context, trusted = serving_tls(tmp_path / "theirs", "docs.example")
    asked: list[bytes] = []
    async with Upstream(answer(b"through")).up(context) as host:

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if b"Proxy-Authorization" not in asked[-1]:
                writer.write(b"HTTP/1.1 407 Who?\r\n\r\n")
                writer.close()
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            there, back = await asyncio.open_connection("127.0.0.1", host.port)

            async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while piece := await source.read(65536):
                    sink.write(piece)
                sink.close()

            await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        environ = {"SSL_CERT_FILE": str(trusted), "HTTPS_PROXY": f"http://me:pw@127.0.0.1:{port}"}
        page = await HttpWeb(environ).get("https://docs.example/a", 100)
        assert page.data == b"through"
        assert asked[0].startswith(b"CONNECT docs.example:443 HTTP/1.1\r\n")
        assert base64.b64encode(b"me:pw") in asked[0]
        with pytest.raises(WebError, match="the proxy refused"):
            await HttpWeb(environ | {"HTTPS_PROXY": f"127.0.0.1:{port}"}).get("https://docs.example/b", 100)
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, ""),
        ({"https_proxy": "http://p:1"}, "http://p:1"),
        ({"ALL_PROXY": "http://p:2"}, "http://p:2"),
        ({"https_proxy": "http://p:1", "no_proxy": "b.example, .example.com"}, ""),
        ({"https_proxy": "http://p:1", "NO_PROXY": "*"}, ""),
        ({"https_proxy": "http://p:1", "NO_PROXY": "ample.com"}, "http://p:1"),
    ],
)
def test_proxies(environ: dict[str, str], proxy: str) -> None:
    assert proxy_for("https", "docs.example.com", environ) == proxy


@pytest.mark.parametrize(
    "answered",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"",
    ],
)
async def test_answers_that_make_no_sense_are_told(answered: bytes) -> None:
    async with Upstream(answered, once=True).up() as host:
        with pytest.raises(WebError, match=r"^localhost: "):
            await web().get(f"http://localhost:{host.port}/", 100)


@pytest.mark.parametrize(
    "url",
    ["", "docs.example", "ftp://docs.example/", "file:///etc/passwd", "http://", "http://0x7f.1/", "https://a@b.example/",
     "http://[::1]/", "http://docs.example:0/", "http://docs.example:99999/", "http://d\u00f6cs.example/", "http://a..b/",
     "https://2130706433/", "http://docs.example\\@evil.test/", "http://docs.example\r\nX: y/"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(WebError):
        host_of(url)


def test_the_host_of_an_address() -> None:
    assert host_of(" https://Docs.Example:8080/a?b ") == "docs.example"
