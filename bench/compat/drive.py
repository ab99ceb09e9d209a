"""A host without a library: starts a command, talks by lines, and keeps what comes back."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from assay.testing.server.server import serve_in_thread
from bench.compat.cases import FILES, Case

PATIENCE = 40.0
"""Seconds that a message is waited for."""
MODEL = "claude-sonnet-4-5"
ALWAYS = ("--output-format", "stream-json", "--verbose", "--input-format", "stream-json", "--model", MODEL)
REFUSED = {"behavior": "deny", "message": "no"}


class Ran(NamedTuple):
    """What one command said to its host, and how it ended."""

    lines: list[dict[str, object]]
    code: int | None
    """None when it had to be killed."""
    error: str
    files: dict[str, str]
    requests: int
    """Requests to the model, without those for titles and the like."""


class Host:
    def __init__(self, process: subprocess.Popen[bytes], case: Case) -> None:
        self._process, self._case = process, case
        self.lines: list[dict[str, object]] = []
        self._arrived: queue.Queue[dict[str, object] | None] = queue.Queue()
        self._ended = False
        self._count = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                message = {"type": "garbage", "line": line.decode("utf-8", "replace")}
            self.lines.append(message)
            if message.get("type") == "control_request":
                self._answer(message)
            self._arrived.put(message)
        self._arrived.put(None)

    def _answer(self, message: Mapping[str, object]) -> None:
        request = message["request"]
        assert isinstance(request, dict)
        answer: object = {}
        if request["subtype"] == "can_use_tool":
            answer = {"updatedInput": request["input"], **(self._case.permission or REFUSED)}
        elif request["subtype"] == "hook_callback":
            answer = (self._case.hooks or {}).get(str(request["callback_id"]), {})
        response = {"subtype": "success", "request_id": message["request_id"], "response": answer}
        self.send({"type": "control_response", "response": response})

    def send(self, message: object) -> None:
        self.raw(message if isinstance(message, str) else json.dumps(message))

    def raw(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def wait(self, kind: str) -> bool:
        """Until the next message of that type; False when it does not come."""
        until = time.monotonic() + PATIENCE
        while not self._ended and (left := until - time.monotonic()) > 0:
            try:
                message = self._arrived.get(timeout=left)
            except queue.Empty:
                return False
            if message is None:
                self._ended = True
                return False
            if message.get("type") == kind:
                return True
        return False

    def control(self, request: Mapping[str, object], *, wait: bool = True) -> None:
        self._count += 1
        self.send({"type": "control_request", "request_id": f"host-{self._count}", "request": request})
        if wait:
            self.wait("control_response")

    def play(self) -> None:
        if self._case.initialize:
            hooks = {event: [{"matcher": None, "hookCallbackIds": [event]}] for event in self._case.hooks or {}}
            self.control({"subtype": "initialize", "hooks": hooks or None, "agents": self._case.agents or {}})
        for action, value in self._case.steps:
            match action:
                case "user":
                    message = {"role": "user", "content": value}
                    self.send({"type": "user", "message": message, "parent_tool_use_id": None, "session_id": ""})
                case "control":
                    assert isinstance(value, dict)
                    self.control(value)
                case "raw":
                    self.raw(str(value))
                case "wait":
                    self.wait(str(value))
                case "pause":
                    time.sleep(float(str(value)))
                case _:
                    assert self._process.stdin is not None
                    with contextlib.suppress(OSError):
                        self._process.stdin.close()


def run(program: Sequence[str], case: Case, *, variables: Mapping[str, str]) -> Ran:
    """One conversation, in a project and a home of its own."""
    with tempfile.TemporaryDirectory(prefix="compat-") as folder, serve_in_thread(case.script) as server:
        project, home = Path(folder, "project"), Path(folder, "home")
        home.mkdir()
        for name, text in FILES.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text)
        env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "CLAUDE_CONFIG_DIR": str(home / "config"),
            "ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-compat", "IS_SANDBOX": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1",
            "CLAUDE_CODE_ENTRYPOINT": "sdk-py", "CLAUDE_CODE_SDK_READS_SESSION_STATE": "1",
            "CLAUDE_CODE_MAX_RETRIES": "2",
            **variables, **case.env,
        }  # fmt: skip
        words = [*program, *ALWAYS, *case.argv]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(words, cwd=project, env=env, **streams) as process:
            host = Host(process, case)
            error: list[bytes] = []
            reader = threading.Thread(target=lambda: error.append(process.stderr.read()), daemon=True)  # type: ignore[union-attr]
            reader.start()
            host.play()
            try:
                code: int | None = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                code = None
            reader.join(5)
        made = {
            str(path.relative_to(project)): path.read_text(errors="replace")
            for path in sorted(project.rglob("*"))
            if path.is_file() and FILES.get(str(path.relative_to(project))) != path.read_text(errors="replace")
        }
        asked = sum(bool(seen.tools) for seen in server.requests)
        return Ran(host.lines, code, b"".join(error).decode("utf-8", "replace"), made, asked)
