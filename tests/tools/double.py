"""A workspace over a temporary directory: just enough of the port for tools."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from assay.core.errors import ChangedMeanwhile, FileMissing, NotAFile, OutsideWorkspace, TooLarge
from assay.core.messages import Text
from assay.core.tool import ToolContext, ToolOutcome
from assay.core.workspace import Command, CommandResult, FileContent, Stamp


class DirectoryWorkspace:
    confined = False

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.commands: list[Command] = []

    def _place(self, path: str) -> Path:
        place = Path(self.root, path)
        if not place.resolve().is_relative_to(Path(self.root).resolve()):
            raise OutsideWorkspace(f"{path}: outside the workspace")
        return place

    def read_file(self, path: str, limit: int | None = None) -> FileContent:
        place = self._place(path)
        if not place.exists():
            raise FileMissing(f"{path}: no such file")
        if not place.is_file():
            raise NotAFile(f"{path}: not a regular file")
        if limit is not None and place.stat().st_size > limit:
            raise TooLarge(f"{path}: {place.stat().st_size} bytes, more than {limit}")
        data = place.read_bytes()
        return FileContent(data, self._stamp(place, data))

    def _stamp(self, place: Path, data: bytes) -> Stamp:
        status = place.stat()
        return Stamp(hashlib.sha256(data).hexdigest(), len(data), status.st_mtime_ns, status.st_ino)

    def write_file(self, path: str, data: bytes, expect: Stamp | None) -> Stamp:
        place = self._place(path)
        now = self._stamp(place, place.read_bytes()).digest if place.exists() else None
        if now != (expect.digest if expect else None):
            raise ChangedMeanwhile(f"{path}: changed")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return self._stamp(place, data)

    async def list_files(self, limit: int = 20_000) -> list[str]:
        found = [
            os.path.relpath(os.path.join(top, name), self.root)
            for top, directories, names in os.walk(self.root)
            for name in names
            if not directories.sort()
        ]
        return sorted(found)[:limit]

    async def run(self, command: Command) -> CommandResult:
        self.commands.append(command)
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            cwd=self.root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        timed_out = False
        try:
            output, _ = await asyncio.wait_for(process.communicate(), command.timeout)
        except TimeoutError:
            timed_out, output = True, b"so far\n"
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
        total, spill = len(output), ""
        if total > command.limit:
            half = command.limit // 2
            if command.spill:
                spill = command.spill
                Path(spill).write_bytes(output)
            output = output[:half] + b"\n[... bytes left out ...]\n" + output[-half:]
        code = 124 if timed_out else process.returncode or 0
        text = output.decode("utf-8", "replace")
        return CommandResult(code, text, total, time.monotonic() - began, timed_out, spill)


class Bench:
    """A directory, and a session's memory of what was seen in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = DirectoryWorkspace(root)
        self.seen: dict[str, str] = {}
        self.spill = ""

    def put(self, path: str, data: str | bytes) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
        return place

    async def call(self, tool, **arguments) -> ToolOutcome:
        tool.effects(arguments)
        outcome = await tool.run(arguments, ToolContext(self.workspace, dict(self.seen), self.spill))
        self.seen |= outcome.seen
        assert "\n" not in outcome.display
        assert not any(ord(character) < 32 for character in outcome.display)
        return outcome


def text_of(outcome: ToolOutcome) -> str:
    return "\n".join(part.text for part in outcome.content if isinstance(part, Text))
