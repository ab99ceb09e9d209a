"""TLS that ends in the proxy: commands trust its authority, it trusts the machine's, and each request is judged."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from assay.core.egress import Credential, Host, Operation
from assay.workspace.sandbox.egress.authority import Authority

from .stage import SECRET, House, Upstream, house, serving_tls


async def secure(
    proxy: House, port: int, requests: bytes, *, trust: Path | None = None, name: str = "localhost"
) -> bytes:
    """What comes back for `requests` sent through a CONNECT; `trust` is the file that the client trusts."""
    raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)

    def talk() -> bytes:
        with raw:
            raw.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            answer = raw.recv(4096)
            if b" 200 " not in answer:
                return answer
            context = ssl.create_default_context(cafile=str(trust or proxy.egress.authority.file))
            with context.wrap_socket(raw, server_hostname=name) as wrapped:
                wrapped.sendall(requests)
                found = b""
                while piece := wrapped.recv(65536):
                    found += piece
                return found

    return await asyncio.to_thread(talk)


def get(port: int, path: str, host: str = "", *, last: bool = True) -> bytes:
    end = "Connection: close\r\n" if last else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host or f'localhost:{port}'}\r\n{end}\r\n".encode()


async def test_requests_within_tls_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = serving_tls(tmp_path / "theirs", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with Upstream().up(context) as host:
        allow = (Operation("GET", "/v1/**"),)
        hosts = {"localhost": Host("api", (host.port,), private=True, allow=allow, credential=Credential("K"))}
        async with house(hosts, tmp_path / "ours", values={"K": SECRET}) as proxy:
            got = await secure(proxy, host.port, get(host.port, "/v1/a", last=False) + get(host.port, "/v1/b"))
            assert got.count(b"200 OK") == 2
            assert [seen.split(b" ")[1] for seen in host.seen] == [b"/v1/a", b"/v1/b"]
            assert host.connections == 1
            assert f"Bearer {SECRET}".encode() in host.seen[0]
            assert b" 403 " in await secure(proxy, host.port, get(host.port, "/v2/a"))
            assert b" 400 " in await secure(proxy, host.port, get(host.port, "/v1/a", "evil.test"))
            assert b" 400 " in await secure(proxy, host.port, get(host.port, f"http://localhost:{host.port}/v1/a"))
            again = f"CONNECT localhost:{host.port} HTTP/1.1\r\nHost: localhost:{host.port}\r\n\r\n".encode()
            assert b" 400 " in await secure(proxy, host.port, again)
            assert len(host.seen) == 2
            # What is put out for commands holds no key, and goes away with the proxy.
            folder = proxy.egress.authority.file.parent
            assert [b"PRIVATE" in file.read_bytes() for file in folder.iterdir()] == [False]
            assert trusted.read_bytes().strip() in proxy.egress.authority.file.read_bytes()
        assert not folder.exists()


async def test_a_host_that_cannot_prove_its_name_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = serving_tls(tmp_path / "theirs", "localhost")
    wrong, _ = serving_tls(tmp_path / "wrong", "localhost")
    other, also = serving_tls(tmp_path / "other", "elsewhere.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    for bad in (wrong, other):
        async with Upstream().up(bad) as host:
            hosts = {"localhost": Host("mirror", (host.port,), private=True)}
            async with house(hosts, tmp_path / "ours") as proxy:
                got = await secure(proxy, host.port, get(host.port, "/a"))
                assert b" 502 " in got and b"certificate" in got
                assert host.seen == []
            monkeypatch.setenv("SSL_CERT_FILE", str(also))
    assert context


async def test_the_authority_serves_only_the_named_host(tmp_path: Path) -> None:
    async with house({"localhost": Host("mirror", private=True)}, tmp_path) as proxy:
        with pytest.raises(ssl.SSLCertVerificationError):
            await secure(proxy, 443, get(443, "/"), name="elsewhere.test")
        with pytest.raises(ssl.SSLCertVerificationError):
            await secure(proxy, 443, get(443, "/"), trust=Authority(tmp_path / "x").file)


async def test_what_is_no_tls_within_a_connect_ends_it(tmp_path: Path) -> None:
    async with house({"localhost": Host("mirror", private=True)}, tmp_path) as proxy:
        head = b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n"
        assert (await proxy.raw(head + get(443, "/"))).count(b"HTTP/1.1 ") <= 1
    assert [note.method for note in proxy.notes] == []
