"""Egress by the installed command: hosts of the user's settings, and nothing of a repository's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from assay.testing.server import Call, Reply

from .command import KEY, Place
from .conftest import Serve


@contextmanager
def host() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """A server on loopback: its port, and the paths and keys that reached it."""
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("X-Key", "")))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"what the host said\n")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def fetch(url: str) -> Call:
    line = f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=10).read().decode())"
    return Call("@shell", {"command": f'python3 -c "{line}"'})


def settings(place: Place, hosts: dict[str, object]) -> None:
    folder = place.home / ".config/assay"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"egress": {"hosts": hosts}}))


def test_a_host_that_was_named_is_reached_until_outside_text_was_read(place: Place, serve: Serve) -> None:
    with host() as (port, seen):
        rule = {"class": "api", "private": True, "ports": [port], "allow": [{"method": "GET", "path": "/v1/*"}]}
        settings(place, {"localhost": rule | {"credential": {"env": "K", "header": "X-Key", "format": "{}"}}})
        base = f"http://localhost:{port}"
        server = serve([
            Reply("", calls=(fetch(f"{base}/v1/a"),)),
            Reply("", calls=(fetch(f"{base}/v1/b"),)),
            Reply("", calls=(fetch("http://evil.test/"),)),
            Reply("Done."),
        ])  # fmt: skip
        place.task(server)
        assert seen == [("/v1/a", KEY)]
    results = [event for event in place.events("result") if event["label"]["integrity"] == "external"]
    assert len(results) == 1 and "what the host said" in results[0]["result"]["content"][0]["text"]
    notices = [event["text"] for event in place.events("notice")]
    assert any("clearance" in text for text in notices) and any("evil.test is not in" in text for text in notices)
    lines = [
        json.loads(line)
        for file in place.state.glob("sessions/*/*/egress.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert [(line["host"], line["status"]) for line in lines] == [
        ("localhost", 200),
        ("localhost", 403),
        ("evil.test", 403),
    ]
    assert place.kept(KEY) == []


def test_a_repository_can_not_open_the_network(place: Place, serve: Serve) -> None:
    with host() as (port, seen):
        rule = {
            "localhost": {"class": "api", "private": True, "ports": [port], "allow": [{"method": "GET", "path": "/**"}]}
        }
        place.write({".assay/settings.json": json.dumps({"egress": {"hosts": rule}})})
        server = serve([Reply("", calls=(fetch(f"http://localhost:{port}/a"),)), Reply("Done.")])
        ended = place.task(server)
        assert seen == [] and "ignored egress but for deny" in ended.err


def test_settings_that_make_no_sense_start_nothing(place: Place, serve: Serve) -> None:
    settings(place, {"*.example.com": {"class": "mirror"}})
    server = serve([Reply("Done.")])
    ended = place.run(server, "-p", "x")
    assert ended.code == 2 and "settings.json: egress: '*.example.com' is not a host" in ended.err
    assert place.run(None, "doctor").code == 1


def test_a_credential_is_not_given_to_commands_as_well(place: Place, serve: Serve) -> None:
    settings(place, {"pypi.org": {"class": "mirror", "credential": {"env": "K"}}})
    ended = place.run(serve([Reply("Done.")]), "-p", "x", "--settings", '{"environment": ["K"]}')
    assert ended.code == 2 and "K is a credential" in ended.err


def test_doctor_shows_the_hosts(place: Place) -> None:
    settings(place, {"pypi.org": {"class": "mirror", "paths": ["/simple/**"]}})
    assert "egress                 pypi.org: mirror (/simple/**)" in place.run(None, "doctor").out
