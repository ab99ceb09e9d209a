"""The command as a host drives it: lines of JSON, at the moments that a test chooses."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping

from assay.testing.server import ScriptedServer

from .command import Ended, Place

AS_CLIENTS_DO = ("--output-format", "stream-json", "--verbose", "--input-format", "stream-json")
PATIENCE = 30.0
STATES = {"CLAUDE_CODE_SDK_READS_SESSION_STATE": "1"}


class Driven:
    """A driven command. Everything it prints is in `frames`, in order."""

    def __init__(self, place: Place, server: ScriptedServer | None, *words: str, env: Mapping[str, str] | None = None):
        self._place = place
        self._began = time.monotonic()
        self.process = place.start(server, *AS_CLIENTS_DO, *words, stdin=True, env={**STATES, **(env or {})})
        self.frames: list[dict] = []
        self._results = 0
        self._new: queue.Queue[dict | None] = queue.Queue()
        self._errors: list[bytes] = []
        self._threads = [threading.Thread(target=self._read, daemon=True)]
        self._threads.append(threading.Thread(target=self._read_errors, daemon=True))
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            frame = json.loads(line)
            self.frames.append(frame)
            self._new.put(frame)
        self._new.put(None)

    def _read_errors(self) -> None:
        self._errors += self.process.stderr

    def write(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, **frame: object) -> None:
        self.write(json.dumps(frame).encode() + b"\n")

    def say(self, content: object, **more: object) -> None:
        self.send(type="user", message={"role": "user", "content": content}, parent_tool_use_id=None, **more)

    def ask(self, subtype: str, **request: object) -> dict:
        """Make a request and wait for its response."""
        self.send(type="control_request", request_id=f"r-{subtype}", request={"subtype": subtype, **request})
        return self.wait(
            lambda frame: frame["type"] == "control_response" and frame["response"]["request_id"] == f"r-{subtype}"
        )["response"]

    def answer(self, request: dict, response: object, subtype: str = "success") -> None:
        key = "response" if subtype == "success" else "error"
        self.send(
            type="control_response",
            response={"subtype": subtype, "request_id": request["request_id"], key: response},
        )

    def wait(self, wanted: Callable[[dict], bool]) -> dict:
        """The next frame that is wanted; those before it are passed over."""
        limit = time.monotonic() + PATIENCE
        while (left := limit - time.monotonic()) > 0:
            frame = self._new.get(timeout=left)
            assert frame is not None, f"ended without it: {self.frames[-3:]} {self.stderr}"
            if wanted(frame):
                return frame
        raise AssertionError(f"not within {PATIENCE:g} s: {self.frames[-3:]}")

    def result(self) -> dict:
        """The next result, also when it came while something else was waited for."""
        self._results += 1
        while len(found := self.of("result")) < self._results:
            self.wait(lambda frame: frame["type"] == "result")
        return found[self._results - 1]

    def request(self, subtype: str) -> dict:
        """The next request of the command to us."""
        return self.wait(lambda frame: frame["type"] == "control_request" and frame["request"]["subtype"] == subtype)

    @property
    def stderr(self) -> str:
        return b"".join(self._errors).decode()

    def of(self, kind: str, subtype: str = "") -> list[dict]:
        return [frame for frame in self.frames if frame["type"] == kind and subtype in ("", frame.get("subtype"))]

    @property
    def states(self) -> list[str]:
        return [frame["state"] for frame in self.of("system", "session_state_changed")]

    def close(self) -> None:
        """End its standard input."""
        if not self.process.stdin.closed:
            self.process.stdin.close()

    def end(self, code: int = 0, *, close: bool = True) -> Ended:
        """Wait for the end, after closing its input, and see that it ended well."""
        if close:
            self.close()
        self.process.wait(self._place.patience)
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
        ended = Ended(self.process.returncode, b"", b"".join(self._errors), time.monotonic() - self._began)
        assert ended.code == code, f"{ended!r}\n{self.frames[-3:]}"
        assert "Traceback" not in ended.err, ended.err
        assert not self._place.broken(torn=False), self._place.broken()
        return ended
