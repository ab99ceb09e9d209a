"""The proxy between commands and the network: what passes, what is refused, and what the host gets to see."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.core.egress import Credential, Host, Operation
from assay.core.policy import Label
from assay.workspace.sandbox.egress.tunnel import server_name

from .stage import OK, SECRET, Upstream, house

ANY = (Operation("GET", "/**"), Operation("POST", "/**"), Operation("HEAD", "/**"))
OUTSIDE = Label("external", "project")


def api(port: int, **more: object) -> dict[str, Host]:
    return {"localhost": Host("api", (port,), private=True, allow=ANY, **more)}  # type: ignore[arg-type]


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def test_a_request_is_passed_on_and_noted(tmp_path: Path) -> None:
    async with Upstream().up() as host, house(api(host.port), tmp_path) as proxy:
        with proxy.egress.heard() as heard:
            answer = await proxy.get("localhost", host.port, "/a?b=c", extra="X-Own: 1\r\n")
        assert status(answer) == 200 and answer.endswith(b"hello")
        assert host.seen[0].startswith(f"GET /a?b=c HTTP/1.1\r\nHost: localhost:{host.port}\r\n".encode())
        assert b"X-Own: 1" in host.seen[0] and b"onnection" not in host.seen[0]
        assert heard == {"localhost"}
    [note] = proxy.notes
    assert (note.method, note.host, note.status, note.received) == ("GET", "localhost", 200, 5)
    assert note.sent == len(host.seen[0])
    assert "/a" not in repr(note)


async def test_nothing_is_allowed_by_default(tmp_path: Path) -> None:
    async with Upstream().up() as host, house({}, tmp_path) as proxy:
        answer = await proxy.get("localhost", host.port)
        assert status(answer) == 403 and b"egress.hosts" in answer
        answer = await proxy.raw(f"CONNECT localhost:{host.port} HTTP/1.1\r\n\r\n".encode())
        assert status(answer) == 403
        assert host.connections == 0


HOSTILE = [
    "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1",
    "0", "localhost.", "LOCALHOST", "localhost%00.example.com", "localhost\0", "user@localhost", "localhost@evil.test",
    "evil.test", "xn--lcalhost-n1a", "lоcalhost", "local_host", "-localhost", "localhost-", ".localhost", "a..b",
    "127.0.0.1.nip.test", "metadata.google.internal", "localhost#", "localhost?", "*", "%6cocalhost", "localhost\t",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_only_the_very_name_is_allowed(tmp_path: Path, name: str) -> None:
    async with Upstream().up() as host, house(api(host.port), tmp_path) as proxy:
        for text in (
            f"CONNECT {name}:{host.port} HTTP/1.1\r\nHost: {name}:{host.port}\r\n\r\n",
            f"GET http://{name}:{host.port}/ HTTP/1.1\r\nHost: {name}:{host.port}\r\nConnection: close\r\n\r\n",
        ):
            answer = await proxy.raw(text.encode())
            if name == "LOCALHOST":
                assert status(answer) == 200  # names have no case
            else:
                assert status(answer) in (400, 403), answer
        assert all(b"Host: localhost:" in seen for seen in host.seen)
        assert name == "LOCALHOST" or host.connections == 0


async def test_a_name_may_not_lead_to_this_machine_unless_said(tmp_path: Path) -> None:
    async with Upstream().up() as host:
        hosts = {"localhost": Host("api", (host.port,), allow=ANY), "127.0.0.1": Host("api", (host.port,), allow=ANY)}
        async with house(hosts, tmp_path) as proxy:
            answer = await proxy.get("localhost", host.port)
            assert status(answer) == 403 or status(answer) == 502
            assert b"private" in answer
            assert status(await proxy.get("127.0.0.1", host.port)) == 403
        assert host.connections == 0


@pytest.mark.parametrize(
    "request_text",
    [
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET https://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/2.0\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\nHost: localhost:{port}\n\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nX: a\nY: b\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nX: a\r\n b\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost : localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nX: a\0b\r\n\r\n",
        "POST http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
        "POST http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 1\r\nContent-Length: 5\r\n"
        "\r\nabcde",
        "POST http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: +5\r\n\r\nabcde",
        "POST http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: xchunked\r\n"
        "\r\n0\r\n\r\n",
        "POST http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked, identity\r\n"
        "\r\n0\r\n\r\n",
        "POST http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;x=y\r\nabcde\r\n0\r\n\r\n",
        "POST http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\nTrailer: x\r\n\r\n",
        "POST http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n"
        "\r\n-1\r\n\r\n",
        "CONNECT localhost:{port} HTTP/1.1\r\nHost: evil.test:{port}\r\n\r\n",
        "CONNECT localhost HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT localhost:0{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "CONNECT localhost:99999 HTTP/1.1\r\nHost: localhost:99999\r\n\r\n",
        "CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 3\r\n\r\nabc",
        "GET http://localhost:{port}/../a HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/%2e%2e/a HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/a%00b HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/a%0d%0aX:y HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/a\\b HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:{port}/a#b HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "PUT http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET http://localhost:1/ HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "\x05\x01\x00",
    ],
)
async def test_what_two_readers_could_read_differently_reaches_nobody(tmp_path: Path, request_text: str) -> None:
    async with Upstream().up() as host, house(api(host.port), tmp_path) as proxy:
        answer = await proxy.raw(request_text.format(port=host.port).encode("latin-1"))
        assert status(answer) in (400, 403), answer
        assert answer.count(b"HTTP/1.1 ") == 1
        assert host.seen == []


async def test_pipelined_requests_are_each_judged(tmp_path: Path) -> None:
    async with Upstream().up() as host:
        hosts = {"localhost": Host("api", (host.port,), private=True, allow=(Operation("GET", "/open/*"),))}
        async with house(hosts, tmp_path) as proxy:
            one = f"GET http://localhost:{host.port}/open/a HTTP/1.1\r\nHost: localhost:{host.port}\r\n\r\n"
            answer = await proxy.raw((one + one + one.replace("/open/a", "/shut") + one).encode())
            assert answer.count(b"200 OK") == 2 and answer.count(b"403 ") == 1
            assert [seen.split(b" ")[1] for seen in host.seen] == [b"/open/a", b"/open/a"]
            assert host.connections == 1


async def test_bodies_keep_their_bytes(tmp_path: Path) -> None:
    big = bytes(range(256)) * 2000
    async with (
        Upstream(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").up() as host,
        house(api(host.port), tmp_path) as proxy,
    ):
        head = f"POST http://localhost:{host.port}/x HTTP/1.1\r\nHost: localhost:{host.port}\r\nConnection: close\r\n"
        answer = await proxy.raw(f"{head}Content-Length: {len(big)}\r\n\r\n".encode() + big)
        assert answer.endswith(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert host.seen[0].endswith(b"\r\n\r\n" + big)
        chunks = b"1\r\na\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
        assert status(await proxy.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)) == 200
        assert host.seen[1].endswith(b"11\r\na0123456789abcdef\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b" 204 "),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hello"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n", b"302 Found"),
    ],
)
async def test_answers(tmp_path: Path, answer: bytes, expected: bytes) -> None:
    async with Upstream(answer).up() as host, house(api(host.port), tmp_path) as proxy:
        assert expected in await proxy.get("localhost", host.port)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\nSet-Cookie: x\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
    ],
)
async def test_answers_that_are_none(tmp_path: Path, answer: bytes) -> None:
    async with Upstream(answer).up() as host, house(api(host.port), tmp_path) as proxy:
        assert status(await proxy.get("localhost", host.port)) == 502


async def test_no_upgrade_is_passed_on(tmp_path: Path) -> None:
    async with Upstream().up() as host, house(api(host.port), tmp_path) as proxy:
        extra = "Upgrade: websocket\r\nProxy-Authorization: Basic abc\r\nTE: trailers\r\nX-Hop: 1\r\n"
        head = f"GET http://localhost:{host.port}/ HTTP/1.1\r\nHost: localhost:{host.port}\r\n"
        assert status(await proxy.raw(f"{head}Connection: close, x-hop\r\n{extra}\r\n".encode())) == 200
        assert not any(
            word in host.seen[0].lower() for word in (b"upgrade", b"proxy-", b"te:", b"x-hop", b"connection")
        )


async def test_a_mirror_takes_downloads_and_nothing_else(tmp_path: Path) -> None:
    async with Upstream().up() as host:
        hosts = {"localhost": Host("mirror", (host.port,), private=True, paths=("/simple/**",))}
        async with house(hosts, tmp_path, label=OUTSIDE) as proxy:
            extra = "User-Agent: all about this machine\r\nCookie: a=b\r\nAccept: text/html\r\nX-Data: zzz\r\n"
            assert status(await proxy.get("localhost", host.port, "/simple/a%2fb/", extra=extra)) == 200
            seen = host.seen[0]
            assert b"Accept: text/html" in seen and b"User-Agent: assay\r\n" in seen
            assert b"machine" not in seen and b"Cookie" not in seen and b"X-Data" not in seen
            for method, path, more in (
                ("GET", "/simple/?q=1", ""),
                ("GET", "/other", ""),
                ("POST", "/simple/", "Content-Length: 0\r\n"),
                ("GET", "/simple/", "Content-Length: 3\r\n"),
                ("GET", "/simple/" + "a" * 250, ""),
                ("DELETE", "/simple/", ""),
            ):
                answer = await proxy.get("localhost", host.port, path, method=method, extra=more)
                assert status(answer) == 403 and b"egress.hosts localhost: " in answer
            assert len(host.seen) == 1


async def test_the_budget_counts_what_the_command_chose(tmp_path: Path) -> None:
    async with Upstream().up() as host:
        hosts = {"localhost": Host("mirror", (host.port,), private=True)}
        async with house(hosts, tmp_path, budget=120) as proxy:
            same = "Accept: text/html\r\n"
            for _ in range(5):
                assert status(await proxy.get("localhost", host.port, "/" + "a" * 19, extra=same)) == 200
            assert proxy.policy.spent == 5 * 20 + len("text/html")
            answer = await proxy.get("localhost", host.port, "/" + "b" * 19)
            assert status(answer) == 403 and b"egress.bytesOut" in answer
            assert len(host.seen) == 5


async def test_after_outside_text_only_cleared_hosts_are_open(tmp_path: Path) -> None:
    async with Upstream().up() as host:
        async with house(api(host.port), tmp_path) as proxy:
            assert status(await proxy.get("localhost", host.port)) == 200
            proxy.label = OUTSIDE
            answer = await proxy.get("localhost", host.port)
            assert status(answer) == 403 and b"clearance" in answer
            proxy.label = Label("external", "public")
            assert status(await proxy.get("localhost", host.port)) == 200
        async with house(api(host.port, clearance="project"), tmp_path, label=OUTSIDE) as proxy:
            assert status(await proxy.get("localhost", host.port)) == 200
            proxy.label = Label("external", "secret")
            assert status(await proxy.get("localhost", host.port)) == 403
        hosts = {"localhost": Host("tunnel", (host.port,), private=True, clearance="project")}
        async with house(hosts, tmp_path, label=OUTSIDE) as proxy:
            text = f"CONNECT localhost:{host.port} HTTP/1.1\r\nHost: localhost:{host.port}\r\n\r\n"
            assert status(await proxy.raw(text.encode())) == 403


async def test_what_one_host_said_closes_the_others_within_a_command(tmp_path: Path) -> None:
    async with Upstream().up() as host, Upstream().up() as other:
        hosts = api(host.port) | {"127.0.0.1": Host("api", (other.port,), private=True, allow=ANY)}
        async with house(hosts, tmp_path) as proxy:
            with proxy.egress.heard():
                assert status(await proxy.get("localhost", host.port)) == 200
                assert status(await proxy.get("localhost", host.port)) == 200
                assert status(await proxy.get("127.0.0.1", other.port)) == 403
            with proxy.egress.heard():
                assert status(await proxy.get("127.0.0.1", other.port)) == 200


async def test_the_proxy_attaches_credentials(tmp_path: Path) -> None:
    def answer(seen: bytes) -> bytes:
        body = seen if b"/echo" in seen else b"fine"
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async with Upstream(answer).up() as host:
        hosts = api(host.port, credential=Credential("API_KEY", "Authorization", "Bearer {}"))
        async with house(hosts, tmp_path, values={"API_KEY": SECRET}) as proxy:
            got = await proxy.get("localhost", host.port, extra="authorization: mine\r\nAccept-Encoding: gzip\r\n")
            assert status(got) == 200 and SECRET.encode() not in got
            assert f"Authorization: Bearer {SECRET}\r\n".encode() in host.seen[0]
            assert b"mine" not in host.seen[0] and b"Accept-Encoding: identity" in host.seen[0]
            got = await proxy.get("localhost", host.port, "/echo")
            assert SECRET.encode() not in got
        async with house(hosts, tmp_path) as proxy:
            got = await proxy.get("localhost", host.port)
            assert status(got) == 403 and b"API_KEY is not set" in got
    assert SECRET not in repr(proxy.notes)


def spellings(secret: str) -> list[bytes]:
    raw = secret.encode()
    return [
        raw,
        base64.b64encode(raw),
        base64.b64encode(b"x" + raw + b"yz"),
        base64.urlsafe_b64encode(b"xy" + raw + b"z"),
        base64.encodebytes(b"line " * 12 + raw * 3),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        "".join(f"%{byte:02X}" for byte in raw).encode(),
        raw.replace(b"/", b"%2F").replace(b"=", b"%3d"),
    ]


@pytest.mark.parametrize("text", spellings(SECRET))
async def test_known_secrets_do_not_leave(tmp_path: Path, text: bytes) -> None:
    async with Upstream().up() as host, house(api(host.port), tmp_path) as proxy:
        for padding in (0, 70_000):
            body = b"a" * padding + text + b"b" * padding
            head = f"POST http://localhost:{host.port}/x HTTP/1.1\r\nHost: localhost:{host.port}\r\n"
            answer = await proxy.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert status(answer) == 403 and b"known secret" in answer
        if b"\n" not in text:
            safe = text.decode().replace("=", "%3D").replace("+", "%2B")
            assert status(await proxy.get("localhost", host.port, f"/x?y={safe}")) == 403
            assert status(await proxy.get("localhost", host.port, extra=f"X-Data: {text.decode()}\r\n")) == 403
        for seen in host.seen:
            assert text[:20] not in seen.partition(b"\r\n\r\n")[2][60_000:]
    assert SECRET not in repr(proxy.notes)


async def test_a_secret_in_pieces_is_still_one(tmp_path: Path) -> None:
    async with Upstream().up() as host, house(api(host.port), tmp_path) as proxy:
        chunks = b"".join(b"1\r\n%c\r\n" % letter for letter in SECRET.encode()) + b"0\r\n\r\n"
        head = f"POST http://localhost:{host.port}/x HTTP/1.1\r\nHost: localhost:{host.port}\r\n"
        answer = await proxy.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)
        assert status(answer) == 403
        assert host.seen == []


def client_hello(name: str) -> bytes:
    """The first record of a TLS client that wants `name`."""
    outgoing = ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def test_a_tunnel_carries_tls_with_its_host_and_stops_at_a_secret(tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                got.append(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    got: list[bytes] = []
    hello = client_hello("localhost")
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with house({"localhost": Host("tunnel", (port,), private=True)}, tmp_path) as proxy:
        head = f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
        answer = await proxy.raw(head + hello + b"ping")
        assert answer == b"HTTP/1.1 200 established\r\n\r\n" + hello + b"ping"
        del got[:]
        for first in (b"GET / HTTP/1.1\r\n\r\n", client_hello("evil.test"), client_hello("127.0.0.1"), hello[:50]):
            await proxy.raw(head + first)
        assert got == []
        assert SECRET.encode() not in await proxy.raw(head + hello + SECRET.encode(), end=False)
        assert SECRET.encode() not in b"".join(got)
        assert status(await proxy.get("localhost", port)) == 403
    server.close()
    assert [note.status for note in proxy.notes] == [200] * 6 + [403]
    assert "TLS only" in proxy.notes[1].reason and "another host" in proxy.notes[2].reason


@given(st.binary(max_size=120), st.integers(0, 600), st.booleans())
def test_any_first_record_is_read_without_trouble(data: bytes, at: int, cut: bool) -> None:
    hello = client_hello("localhost")[5:]
    assert server_name(hello) == "localhost"
    spoilt = hello[:at] + data + (b"" if cut else hello[at + len(data) :])
    assert server_name(spoilt) is None or isinstance(server_name(spoilt), str)


async def test_there_are_only_so_many_connections(tmp_path: Path) -> None:
    async with Upstream().up() as host, house(api(host.port), tmp_path) as proxy:
        held = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(64)]
        for _, writer in held:
            writer.write(b"GET http://loc")
        while len(proxy.egress.tasks) < 64:
            await asyncio.sleep(0.01)
        assert status(await proxy.get("localhost", host.port)) in (503, 0)
        assert host.connections == 0
        for _, writer in held:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_a_slow_head_ends_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.workspace.sandbox.egress.conversation.HEAD", 0.2)
    async with house({}, tmp_path) as proxy:
        assert await proxy.raw(b"GET http://loc", end=False, seconds=30) == b""


async def test_long_heads_are_refused(tmp_path: Path) -> None:
    async with Upstream().up() as host, house(api(host.port), tmp_path) as proxy:
        for extra in ("X: " + "a" * 40_000 + "\r\n", "X: a\r\n" * 200):
            assert status(await proxy.get("localhost", host.port, extra=extra)) == 431
        assert host.seen == []


async def test_the_end_is_clean_with_connections_open(tmp_path: Path) -> None:
    async with Upstream().up() as host:
        async with house(api(host.port), tmp_path) as proxy:
            held = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(3)]
            held[0][1].write(b"GET http://loc")
            await asyncio.sleep(0.05)
        for _, writer in held:
            writer.close()
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", proxy.port), timeout=1):
            pass


async def test_a_host_that_hangs_up_on_an_idle_connection_is_dialled_again(tmp_path: Path) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await writer.drain()
        writer.close()

    served: list[bytes] = []
    server = await asyncio.start_server(once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with house(api(port), tmp_path) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for _ in range(3):
            writer.write(f"GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            async with asyncio.timeout(10):
                assert b"200 OK" in await reader.readuntil(b"hello")
            await asyncio.sleep(0.02)
        writer.close()
    server.close()
    assert len(served) == 3


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from([
                b"GET ", b"CONNECT ", b"POST ", b"http://", b"localhost", b"evil.test", b":PORT", b":1", b"/",
                b"/open/",
                b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"Host: ", b"Content-Length: 3", b"Transfer-Encoding: chunked",
                b"3\r\nabc\r\n", b"0\r\n\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b"%2e", b"..", b"abc", b";", b"@",
            ]),
            max_size=24,
        ).map(b"".join),
        st.tuples(st.sampled_from([b"GET", b"POST", b"PUT"]), st.binary(max_size=12), st.binary(max_size=30)).map(
            lambda parts: parts[0] + b" http://localhost:PORT/open/" + parts[1]
            + b" HTTP/1.1\r\nHost: localhost:PORT\r\n" + parts[2] + b"\r\n\r\n"
        ),
    )
)  # fmt: skip
async def test_no_bytes_make_it_forward_what_was_not_allowed(tmp_path_factory: object, data: bytes) -> None:
    async with Upstream().up() as host:
        hosts = {"localhost": Host("api", (host.port,), private=True, allow=(Operation("GET", "/open/*"),))}
        async with house(hosts, Path("unused")) as proxy:
            await proxy.raw(data.replace(b"PORT", str(host.port).encode()))
        for seen in host.seen:
            first, *lines = seen.partition(b"\r\n\r\n")[0].split(b"\r\n")
            assert first.startswith(b"GET /open/") and first.endswith(b" HTTP/1.1") and first.count(b" ") == 2
            assert lines[0] == f"Host: localhost:{host.port}".encode()
            assert all(b"\n" not in line and b"\r" not in line for line in lines)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from([
                b"HTTP/1.1 200 OK", b"HTTP/1.1 304 x", b"HTTP/1.1 100 ", b"HTTP/1.0 200 OK", b"\r\n", b"\r\n\r\n",
                b"Content-Length: 3", b"Transfer-Encoding: chunked", b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b"A: b",
                b" ", b"\n", b"\0",
            ]),
            max_size=14,
        ).map(b"".join),
    )
)  # fmt: skip
async def test_no_bytes_of_a_host_make_more_than_one_answer(data: bytes) -> None:
    async with Upstream(data, once=True).up() as host, house(api(host.port), Path("unused")) as proxy:
        answer = await proxy.get("localhost", host.port, extra="X: y\r\n")
    head, *_ = answer.partition(b"\r\n\r\n")
    assert head == b"" or head.startswith(b"HTTP/1.1 ")
    assert all(b"\r" not in line and b"\n" not in line and b"\0" not in line for line in head.split(b"\r\n"))
    assert [note.method for note in proxy.notes] == ["GET"]
    assert proxy.notes[0].status != 200 or b" 200 " in head
