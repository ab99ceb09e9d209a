"""Programs in other languages that drive the `claude` command, with ours in its place: the TypeScript client, and an
adapter of the Agent Client Protocol. Both come from npm (scripts/setup.sh)."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assay.testing.server import Call, Reply

from .command import Place, wait_for
from .conftest import Serve

NODE = Path(sys.prefix) / "node"
PATIENCE = 90.0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("node") or not (NODE / "node_modules").is_dir(),
        reason="needs node and npm: install them, then run scripts/setup.sh test",
    ),
]


def as_claude(place: Place, url: str) -> dict[str, str]:
    """Install our command as `claude`; returns the variables that programs around it get."""
    command = place.program.parent / "claude"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{place.program}" "$@"\n')
    command.chmod(0o755)
    return place.variables | {
        "PATH": f"{command.parent}{os.pathsep}{place.variables['PATH']}",
        "ANTHROPIC_API_KEY": "x",
        "ANTHROPIC_BASE_URL": url,
        "CLAUDE_CONFIG_DIR": str(place.root / "config"),
    }


def test_the_typescript_client(place: Place, serve: Serve) -> None:
    server = serve(
        [
            Reply("I add.", calls=(Call("mcp__sums__add", {"a": 2, "b": 3}),)),
            Reply("I write.", calls=(Call("Write", {"file_path": "a.txt", "content": "x"}),)),
            Reply("Done: 5."),
            Reply("I wait.", calls=(Call("Bash", {"command": "sleep 600"}),)),
            Reply("Not reached."),
        ]
    )
    variables = as_claude(place, server.url)
    script = place.root / "query.mjs"
    shutil.copyfile(Path(__file__).parent / "node/query.mjs", script)
    (place.root / "node_modules").symlink_to(NODE / "node_modules")
    ended = subprocess.run(
        ["node", str(script), str(place.program.parent / "claude"), str(place.project)],
        env=variables,
        cwd=place.project,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    seen = json.loads(ended.stdout.splitlines()[-1])
    assert "mcp__sums__add" in seen["tools"] and seen["called"] == [[2, 3]]
    assert {"mcp__sums__add", "Write"} <= {*seen["asked"]}
    assert "the sum is 5" in seen["results"][0] and "not that file" in seen["results"][1]
    assert not (place.project / "a.txt").exists()
    assert "Done: 5." in seen["texts"] and "Not reached." not in seen["texts"] and seen["interrupted"]


class Adapter:
    """The client's side of the Agent Client Protocol: JSON-RPC, a line each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answers: queue.Queue[dict] = queue.Queue()
        self._number = 0
        self.updates: list[dict] = []
        self.asked: list[dict] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            said = json.loads(line)
            if said.get("method") == "session/update":
                self.updates.append(said["params"]["update"])
            elif said.get("method") == "session/request_permission":
                self.asked.append(said["params"])
                yes = next(each for each in said["params"]["options"] if each["kind"] == "allow_once")
                outcome = {"outcome": "selected", "optionId": yes["optionId"]}
                self._write({"jsonrpc": "2.0", "id": said["id"], "result": {"outcome": outcome}})
            elif "method" not in said:
                self._answers.put(said)

    def _write(self, message: dict) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def ask(self, method: str, **params: object) -> dict:
        self._number += 1
        self._write({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        answer = self._answers.get(timeout=PATIENCE)
        assert answer.get("id") == self._number and "result" in answer, answer
        return answer["result"]

    def texts(self) -> str:
        chunks = [each for each in self.updates if each["sessionUpdate"] == "agent_message_chunk"]
        return "".join(each["content"].get("text", "") for each in chunks)


@contextmanager
def adapter(place: Place, variables: dict[str, str]) -> Iterator[Adapter]:
    program = NODE / "node_modules/@zed-industries/claude-agent-acp/dist/index.js"
    with (place.root / "adapter.err").open("w") as errors:
        process = subprocess.Popen(
            ["node", str(program)],
            env=variables | {"CLAUDE_CODE_EXECUTABLE": str(place.program.parent / "claude")},
            cwd=place.project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Adapter(process)
        finally:
            # The adapter lives on without its client; its own children end when it does.
            process.terminate()
            process.wait(PATIENCE)
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()


def test_an_adapter_of_the_agent_client_protocol(place: Place, serve: Serve) -> None:
    write = Call("Write", {"file_path": str(place.project / "made.txt"), "content": "made\n"})
    server = serve([Reply("I write.", calls=(write,)), Reply("It is written.")])
    with adapter(place, as_claude(place, server.url)) as client:
        told = client.ask(
            "initialize", protocolVersion=1, clientCapabilities={"fs": {"readTextFile": False, "writeTextFile": False}}
        )
        assert told["protocolVersion"] == 1
        session = client.ask("session/new", cwd=str(place.project), mcpServers=[])["sessionId"]
        ended = client.ask("session/prompt", sessionId=session, prompt=[{"type": "text", "text": "Make made.txt"}])
        assert ended["stopReason"] == "end_turn"
        wait_for(lambda: "It is written." in client.texts())
    assert (place.project / "made.txt").read_text() == "made\n"
    assert len(client.asked) == 1
    assert any(each["sessionUpdate"] == "tool_call" for each in client.updates)
