"""How a server is reached that is not the host's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from assay.tools.mcp.config import ServerConfig
from assay.tools.mcp.library import LibraryPeer
from assay.tools.mcp.peer import Heard, Peer


def opener(
    environ: Mapping[str, str], directory: str, logs: Path | None = None, logins: Path | None = None
) -> Callable[[ServerConfig, Heard], Peer]:
    """What makes connections. `logs`: a directory for the standard error of servers; `logins`: one for their tokens."""

    def opens(config: ServerConfig, heard: Heard) -> Peer:
        if config.kind == "stdio":
            from assay.tools.mcp.schema import plain_name
            from assay.tools.mcp.stdio import ServerProcess

            log = logs / f"{plain_name(config.name)}.log" if logs else None
            process = ServerProcess(config, environ, directory, log)
            return LibraryPeer(process.streams, heard, root=directory, end=lambda: process.why, kill=process.kill)
        from assay.tools.mcp.http import HttpLink
        from assay.tools.mcp.oauth import Login

        link = HttpLink(config, Login(logins, config.name, config.url) if logins else None)
        return LibraryPeer(link.streams, heard, root=directory, locked=lambda: link.locked)

    return opens
