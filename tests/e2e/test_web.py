"""Pages of the web by the installed command: asked about unless allowed, external once read, never with a key."""

from __future__ import annotations

import json

from assay.testing.server import Call, Reply

from .command import KEY, Place
from .conftest import Serve
from .test_network import host, settings

TOOLS = ("--tools", "Read,WebFetch,WebSearch")


def fetch(url: str) -> Call:
    return Call("WebFetch", {"url": url, "prompt": "what it says"})


def test_a_page_is_asked_about_and_a_rule_answers(place: Place, serve: Serve) -> None:
    server = serve([Reply("", calls=(fetch("http://docs.invalid/a"),)), Reply("Done.")])
    ended = place.task(server, *TOOLS, prompt="Look it up").expect(8, "needs_approval")
    (question,) = ended.result["assay"]["questions"]
    assert question["effects"] == ["network docs.invalid"]
    ended = place.task(server, *TOOLS, "--allowedTools", "WebFetch(domain:docs.invalid)", prompt="Look").expect(0)
    (result,) = server.requests[-1].last.results
    assert "docs.invalid: its name can't be resolved" in result.text


def test_a_host_of_the_settings_is_read_and_the_session_is_external_then(place: Place, serve: Serve) -> None:
    with host() as (port, seen):
        rule = {"class": "api", "private": True, "ports": [port], "allow": [{"method": "GET", "path": "/v1/*"}]}
        settings(place, {"localhost": rule | {"credential": {"env": "K", "header": "X-Key", "format": "{}"}}})
        base = f"http://localhost:{port}"
        server = serve([
            Reply("", calls=(fetch(f"{base}/v1/a"),)),
            Reply("", calls=(fetch(f"{base}/v1/b"),)),
            Reply("Done."),
        ])  # fmt: skip
        ended = place.task(server, *TOOLS, prompt="Look").expect(8, "needs_approval")
        assert seen == [("/v1/a", "")], "no credential goes with a page"
        assert "what the host said" in server.requests[1].last.results[0].text
        server = serve([Reply("", calls=(fetch(f"{base}/v2/no"),)), Reply("Done.")])
        place.task(server, *TOOLS, prompt="Look").expect(0)
        assert "its allow list has no GET" in server.requests[1].last.results[0].text
    assert "has read outside text" in ended.result["assay"]["questions"][0]["reason"]
    assert place.kept(KEY) == []


def test_an_address_of_this_machine_is_refused_also_with_leave(place: Place, serve: Serve) -> None:
    with host() as (port, seen):
        server = serve([Reply("", calls=(fetch(f"http://127.0.0.1:{port}/a"),)), Reply("Done.")])
        place.task(server, *TOOLS, "--allowedTools", "WebFetch", prompt="Look").expect(0)
        assert seen == []
    assert "a private or reserved address" in server.requests[1].last.results[0].text


def test_a_search_engine_is_the_users_to_name(place: Place, serve: Serve) -> None:
    with host() as (port, seen):
        address = f"http://127.0.0.1:{port}/search?q={{query}}&format=json"
        place.write({".assay/settings.json": json.dumps({"search": address})})
        call = Call("WebSearch", {"query": "how to"})
        server = serve([Reply("", calls=(call,)), Reply("Done.")])
        ended = place.task(server, *TOOLS, prompt="Search").expect(0)
        assert "ignored search" in ended.err
        assert {tool.name for tool in server.requests[0].tools} == {"Read", "WebFetch", "finish"}
        assert seen == []
        mine = ("--settings", json.dumps({"search": address}), "--allowedTools", "WebSearch")
        place.task(server, *TOOLS, *mine, prompt="Search").expect(0)
        assert [path for path, _ in seen] == ["/search?q=how%20to&format=json"]
    assert "is not JSON" in server.requests[-1].last.results[0].text
    bad = place.run(server, "-p", "x", "--settings", '{"search": "https://find.example/"}').expect(2)
    assert "settings: search: expected an address like" in bad.err
