"""Confinement by `sandbox-exec` on macOS. Not yet proved on a Mac: `find_sandbox` probes it there as everywhere.

It confines files and the network and has no pid namespace, overlays or bind mounts, so a copy runs at its own path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from assay.workspace.sandbox.port import Confinement
from assay.workspace.sandbox.view import tool_roots

READABLE = ("/usr", "/bin", "/sbin", "/System", "/Library", "/opt", "/private/etc", "/private/var/db", "/dev",
            "/private/var/select", "/Applications/Xcode.app")  # fmt: skip


class Seatbelt:
    name = "seatbelt"
    owns_processes = False
    overlays = False
    calls = b""
    lacking = ""

    def __init__(self, binary: str, environ: Mapping[str, str]) -> None:
        self.binary = binary
        self._environ = environ
        self._user = os.path.realpath(environ.get("HOME") or "/")
        self.home = "/var/empty"

    def argv(self, view: Confinement, command: tuple[str, ...], cwd: str, *, read_only: bool) -> tuple[str, ...]:
        return (self.binary, "-p", self.profile(view, read_only=read_only), "/bin/sh", "-c",
                'cd "$1" && shift && exec "$@"', "sh", cwd, *command)  # fmt: skip

    def profile(self, view: Confinement, *, read_only: bool) -> str:
        """The rules, in the Scheme-like language of the sandbox; the last one that matches decides."""
        source = os.path.realpath(view.source)
        readable = [*READABLE, *tool_roots(self._environ, self._user, view.root), source]
        writable = [] if read_only else [source]
        if view.cache:
            writable.append(os.path.realpath(view.cache))
        rules = [
            "(version 1)",
            "(deny default)",
            "(allow process-exec process-fork signal sysctl-read mach-lookup ipc-posix-shm)",
            "(allow file-read-metadata)",
            '(allow file-read* (literal "/"))',
            *(f"(allow file-read* (subpath {_quoted(path)}))" for path in (*readable, *writable)),
            *(f"(allow file-write* (subpath {_quoted(path)}))" for path in writable),
            '(allow file-write* (literal "/dev/null") (literal "/dev/tty") (literal "/dev/dtracehelper"))',
            *(f"(deny file-write* (subpath {_quoted(f'{source}/{name}')}))" for name in view.protected),
            *(f"(deny file-read* file-write* (subpath {_quoted(f'{source}/{name}')}))" for name in view.hidden),
        ]
        return "\n".join(rules)


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
