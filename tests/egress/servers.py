"""Small real servers on loopback: a package index (PEP 503) and git's own HTTP backend."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import os
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path


def wheel(name: str, version: str = "1.0") -> tuple[str, bytes]:
    """A file name and a wheel with one module."""
    data = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", data.getvalue()


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def reply(self, status: int, body: bytes, kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextlib.contextmanager
def serving(handler: type[Quiet], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def package_index(name: str, seen: list[str]) -> type[Quiet]:
    file, data = wheel(name)
    digest = hashlib.sha256(data).hexdigest()

    class Index(Quiet):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path} {self.headers.get('User-Agent')}")
            if self.path == f"/simple/{name}/":
                self.reply(200, f'<a href="/packages/{file}#sha256={digest}">{file}</a>'.encode())
            elif self.path == f"/packages/{file}":
                self.reply(200, data, "application/octet-stream")
            else:
                self.reply(404, b"no such file")

        do_HEAD = do_GET  # noqa: N815 - the name that the server looks for

    return Index


def git_backend(root: Path) -> type[Quiet]:
    """The repositories below `root`, through `git http-backend` (a CGI program)."""

    class Backend(Quiet):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            body = self._body()
            env = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_USER": "t",
                "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)), "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(root),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }  # fmt: skip
            done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, timeout=30)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.reply(int(fields.get("Status", "200").split()[0]), content, fields.get("Content-Type", ""))

        do_POST = do_GET  # noqa: N815 - the name that the server looks for

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

    return Backend
