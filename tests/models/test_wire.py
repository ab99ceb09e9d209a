from __future__ import annotations

import asyncio
import ssl
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.loopback import Exchange, chunk, refuse, serving, stream

from assay.models.http import Http, HttpxWire, Timeouts, proxy_for, tls_context
from assay.models.wire import Address, Chunks, Connection, DirectResponse, DirectWire, WireError, parse_head

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def body_of(response) -> bytes:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("head", [b"HTTP/1.1 \xb2\xb2\xb2 OK", b"HTTP/1.1 20", b"HTTP/1.1 \xb9", b"HTTP/2 200"])
def test_a_status_that_is_no_number_is_no_http(head):
    with pytest.raises(WireError):
        parse_head(head)


@pytest.mark.parametrize("length", ["\xb2", "9" * 5000, "-1", "1_0", "٣"])
async def test_a_length_that_is_no_number_is_none(length):
    reader = asyncio.StreamReader()
    reader.feed_data(b"all of it")
    reader.feed_eof()
    response = DirectResponse(200, {"content-length": length}, Connection(reader, None), lambda _: None)
    assert await response.read() == b"all of it"
    assert await response.read() == b""


@given(pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=6), data=st.data())
def test_chunks_in_any_slicing(pieces, data):
    wire = b"".join(b"%X;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: x\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    body = Chunks()
    found = b"".join(body.feed(wire[a:b]) for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True))
    assert found == b"".join(pieces) and body.done


@pytest.mark.parametrize("broken", [b"zz\r\n", b"\r\n\r\n", b"1" * 100_000])
def test_broken_chunks(broken):
    with pytest.raises(WireError):
        Chunks().feed(broken)


def test_heads():
    assert parse_head(b"HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nX: a\r\nx: b\r\n\r\n") == (
        429,
        {"retry-after": "3", "x": "a, b"},
    )
    with pytest.raises(WireError):
        parse_head(b"SSH-2.0-OpenSSH_9\r\n\r\n")


def test_addresses():
    address = Address("https://[::1]:8443/v1/x?y=1")
    assert (address.host, address.port, address.target, address.loopback) == ("::1", 8443, "/v1/x?y=1", True)
    assert Address("http://example.com").port == 80 and not Address("https://example.com/v1").loopback
    for wrong in (
        "example.com",
        "ftp://example.com",
        "http://user@example.com",
        "http://example.com:port",
        "http://a b",
    ):
        with pytest.raises(ValueError, match=r"."):
            Address(wrong)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(b"hello")
        + b"0\r\n\r\n",
    ],
)
async def test_bodies(answer):
    async def step(exchange: Exchange) -> None:
        await exchange.send(answer)
        exchange.writer.close()

    async with serving(step) as server:
        http = Http()
        response = await http.post(server.url + "/x", {}, b"{}")
        assert response.status == 200 and await body_of(response) == b"hello"
        await response.close()
        await http.aclose()


async def test_silence_has_limits():
    async with serving(stream(b"x" * 10)) as server:
        http = Http(Timeouts(connect=1, first_byte=1, idle=1))
        response = await http.post(server.url, {}, b"{}")
        assert await response.read_all(5) and response.status == 200
        await response.close()
        await http.aclose()


# --- proxies ----------------------------------------------------------------------------------------------------------


def test_the_transport_follows_the_environment(monkeypatch):
    http = Http()
    assert isinstance(http.wire("https://api.example.com/v1"), DirectWire)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:3128")
    assert proxy_for("https") and not proxy_for("http")
    assert isinstance(http.wire("https://api.example.com/v1"), HttpxWire)
    assert isinstance(http.wire("http://api.example.com/v1"), DirectWire)
    assert isinstance(http.wire("https://127.0.0.1:8443/v1"), DirectWire), "loopback never goes through a proxy"


async def test_requests_go_through_the_proxy_unless_exempt(monkeypatch):
    async with serving(refuse(200, b"by proxy")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        http = Http()
        response = await http.post("http://model.invalid/v1/messages", {"x-api-key": "k"}, b"{}")
        assert await body_of(response) == b"by proxy"
        assert proxy.requests[0].target == "http://model.invalid/v1/messages"
        assert proxy.requests[0].headers["x-api-key"] == "k"
        await response.close()
        await http.aclose()
        monkeypatch.setenv("NO_PROXY", "model.invalid")
        http = Http(Timeouts(connect=2, first_byte=2))
        with pytest.raises(WireError) as caught:
            await http.post("http://model.invalid/v1/messages", {}, b"{}")
        assert caught.value.kind == "network" and len(proxy.requests) == 1
        await http.aclose()


async def test_a_stream_through_the_proxy_that_breaks_is_cut(monkeypatch):
    async def broken(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        exchange.writer.close()

    async with serving(broken) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        http = Http()
        response = await http.post("http://model.invalid/", {}, b"{}")
        assert await response.read() == b"half"
        with pytest.raises(WireError) as caught:
            await response.read()
        assert caught.value.kind == "cut"
        await response.close()
        await http.aclose()


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate for localhost that only those trust who name it."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return folder


async def test_a_private_authority_is_trusted_when_named(authority, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")

    async def answer(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{listener.sockets[0].getsockname()[1]}/"
    http = Http()
    with pytest.raises(WireError, match=r"not trusted.*SSL_CERT_FILE"):
        await http.post(url, {}, b"")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "cert.pem"))
    http = Http()
    await http.warm(url)
    response = await http.post(url, {}, b"")
    assert await body_of(response) == b"ok"
    await response.close()
    await http.aclose()
    listener.close()


def test_an_unreadable_authority_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(WireError, match=r"SSL_CERT_FILE=.*absent\.pem") as caught:
        tls_context()
    assert caught.value.kind == "bad_request"
