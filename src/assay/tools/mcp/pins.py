"""How tools described themselves when they were last used, so that one that changed its mind afterwards is told."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from assay.tools.mcp.schema import Offered

_MOST = 5_000


class Pins:
    """Digests by server and tool, in a file of ours; None to remember for this session only. A file that can't be read
    counts as empty, one that can't be written is left."""

    def __init__(self, path: Path | None = None):
        self._path = path
        self._known: dict[str, dict[str, str]] | None = None

    def changed(self, server: str, tool: Offered) -> bool:
        """True when it was used before, and then said something else of itself."""
        before = self._read().get(server, {}).get(tool.remote)
        return before is not None and before != tool.digest

    def keep(self, server: str, tool: Offered) -> None:
        """It is being used as it is now."""
        known = self._read()
        if known.get(server, {}).get(tool.remote) == tool.digest:
            return
        known.setdefault(server, {})[tool.remote] = tool.digest
        if self._path is None or sum(map(len, known.values())) > _MOST:
            return
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.write_bytes(msgspec.json.encode(known))
            new.chmod(0o600)
            new.replace(self._path)

    def _read(self) -> dict[str, dict[str, str]]:
        if self._known is None:
            self._known = {}
            if self._path:
                with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeError):
                    self._known = msgspec.json.decode(self._path.read_bytes(), type=dict[str, dict[str, str]])
        return self._known
