"""One short program that is talked to from a thread, and can be stopped from another."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from threading import Lock


class Talk:
    """The program is started by `run`, so that nothing of it exists when the thread never comes to that."""

    def __init__(self, argv: Sequence[str], cwd: str, env: Mapping[str, str], data: bytes = b"") -> None:
        self._argv = argv
        self._cwd = cwd
        self._env = env
        self._data = data
        self._lock = Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, seconds: float) -> tuple[int, bytes, bytes]:
        """Exit status and both streams; 137 when it was stopped. Raises `OSError` when it can't be started, and
        `TimeoutExpired`; it is gone then, too."""
        with self._lock:
            if self._stopped:
                return 137, b"", b""
            process = self._process = subprocess.Popen(
                self._argv,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.PIPE if self._data else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        with process:  # closes what is left of its pipes
            try:
                out, err = process.communicate(self._data or None, seconds)
            except BaseException:
                process.kill()
                raise
        return process.returncode, out, err

    def stop(self) -> None:
        """End it, if it runs; it does not start any more."""
        with self._lock:
            self._stopped = True
            if self._process and self._process.poll() is None:
                self._process.kill()
                self._process.wait()
