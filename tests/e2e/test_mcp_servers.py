"""MCP servers with the real command: leave, trust, trouble, and nothing left running."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from assay.testing.server import Call, Reply

from .command import Place
from .conftest import Serve

HOSTILE = str(Path(__file__).parent.parent / "tools_mcp" / "hostile.py")
SERVER = {"command": sys.executable, "args": [HOSTILE, "polite"], "alwaysLoad": True}
CONFIG = json.dumps({"mcpServers": {"srv": SERVER}})
PATIENT = {"MCP_TIMEOUT": "60000"}
ACT = Reply("I act.", calls=(Call("mcp__srv__act", {}),))


def test_call_with_leave(place: Place, serve: Serve) -> None:
    server = serve([ACT, Reply("Done.")])
    place.task(server, "--mcp-config", CONFIG, "--allowedTools", "mcp__srv", prompt="Act", env=PATIENT).expect(
        0, "answered"
    )
    assert "mcp__srv__act" in {tool.name for tool in server.requests[0].tools}
    assert b"done" in server.requests[1].raw
    assert (place.state / "mcp/logs/srv.log").stat().st_size


def test_servers_of_a_plugin_are_the_users(place: Place, serve: Serve) -> None:
    plugin = place.root / "tools"
    (plugin / ".claude-plugin").mkdir(parents=True)
    (plugin / ".claude-plugin/plugin.json").write_text(json.dumps({"name": "tools"}))
    (plugin / ".mcp.json").write_text(CONFIG)
    act = "mcp__plugin_tools_srv__act"
    server = serve([Reply("I act.", calls=(Call(act, {}),)), Reply("Done.")])
    ended = place.task(server, "--plugin-dir", str(plugin), "--allowedTools", act, prompt="Act", env=PATIENT)
    ended.expect(0, "answered")
    assert act in {tool.name for tool in server.requests[0].tools}
    assert b"done" in server.requests[1].raw
    server = serve(Reply("Hi."))
    place.task(server, "--plugin-dir", str(plugin), "--strict-mcp-config", env=PATIENT).expect(0)
    assert not any(tool.name.startswith("mcp__") for tool in server.requests[0].tools)


def test_call_without_leave(place: Place, serve: Serve) -> None:
    server = serve([ACT, Reply("I may not.")])
    ended = place.task(server, "--mcp-config", CONFIG, prompt="Act", env=PATIENT).expect(8, "needs_approval")
    assert [denied["tool_name"] for denied in ended.result["permission_denials"]] == ["mcp__srv__act"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_of_a_call(place: Place, serve: Serve, number: signal.Signals) -> None:
    marker = place.root / "called"
    entry = {**SERVER, "args": [HOSTILE, "silent", str(marker)]}
    server = serve(ACT)
    process = place.start(
        server, "-p", "Act", "--mcp-config", json.dumps({"srv": entry}), "--allowedTools", "mcp__srv", env=PATIENT
    )
    deadline = time.monotonic() + 80
    while not marker.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == (130 if number == signal.SIGINT else -9)
    while place.survivors() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_repository_starts_nothing_before_it_is_trusted(place: Place, serve: Serve) -> None:
    marker = place.root / "marker"
    line = f"touch {marker}; exec {sys.executable} {HOSTILE} polite"
    command = {"command": "/bin/sh", "args": ["-c", line], "alwaysLoad": True}
    place.write({".mcp.json": json.dumps({"mcpServers": {"srv": command}})})
    server = serve(Reply("Done."))
    ended = place.task(server, prompt="Look").expect(0, "answered")
    assert "not started, as they came with the repository: srv" in ended.err
    assert not marker.exists()
    listed = place.run(None, "mcp", "list").expect(0)
    assert "pending" in listed.out
    assert not marker.exists()
    settings = place.home / ".config/assay/settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('{"enabledMcpjsonServers": ["srv"]}')
    place.task(server, prompt="Look", env=PATIENT).expect(0, "answered")
    assert marker.exists()


def test_trouble_with_servers_is_told_and_survived(place: Place, serve: Serve) -> None:
    server = serve(Reply("Done."))
    gone = json.dumps({"gone": {"command": "no-such-program", "alwaysLoad": True}})
    ended = place.task(server, "--mcp-config", gone, prompt="Go", env=PATIENT)
    ended.expect(0, "answered")
    assert "cannot start no-such-program" in ended.err
    wrong = place.run(server, "-p", "Go", "--mcp-config", "{broken").expect(2)
    assert "error: --mcp-config: not a JSON object" in wrong.err


def test_servers_by_command(place: Place) -> None:
    place.run(None, "mcp", "add", "srv", "-e", "A=1", "--", sys.executable, HOSTILE, "polite").expect(0)
    place.run(None, "mcp", "add", "web", "-t", "http", "http://127.0.0.1:9/mcp", "-H", "X: y").expect(0)
    place.run(None, "mcp", "add-json", "proj", '{"command": "x"}', "-s", "project").expect(0)
    settings = place.home / ".config/assay/settings.json"
    assert settings.stat().st_mode & 0o777 == 0o600
    assert json.loads(settings.read_text())["mcpServers"]["srv"]["env"] == {"A": "1"}
    rows = {row["name"]: row for row in json.loads(place.run(None, "mcp", "list", "--json", env=PATIENT).expect(0).out)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "srv": "connected",
        "web": "failed",
        "proj": "pending",
    }
    assert rows["srv"]["serverInfo"] == {"name": "hostile", "version": "0"}
    assert "mcp__srv__act" in place.run(None, "mcp", "get", "srv", env=PATIENT).expect(0).out
    place.run(None, "mcp", "remove", "srv").expect(0)
    assert "srv" not in json.loads(settings.read_text())["mcpServers"]
    for words in (("remove", "srv"), ("get", "srv"), ("add", "a__b", "x"), ("logout", "proj"), ("dance",)):
        assert place.run(None, "mcp", *words).expect(2).err.startswith("error: ")
