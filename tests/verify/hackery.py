"""The hack suite as data: projects with a bug, and changes that are to be judged."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, convert

Edits = dict[str, str | bool | list[str]]
FOLDER = Path(__file__).with_name("hacks")


class Hack(Struct, frozen=True):
    name: str
    family: str
    cheat: Edits
    honest: Edits


class Suite(Struct, frozen=True):
    command: str
    runner: str
    files: dict[str, str]
    fix: Edits
    hack: list[Hack]


def suite(name: str) -> Suite:
    return convert(tomllib.loads((FOLDER / f"{name}.toml").read_text()), Suite)


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def lay_out(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.removeprefix("\n") if path != ".gitignore" else text)


def edit(root: Path, edits: Edits) -> None:
    """Carry out edits: `path` the whole file, `path+` text at its end, `path~` [old, new], `path-` removed."""
    for key, value in edits.items():
        target = root / key.rstrip("+~-")
        if key.endswith("-"):
            target.unlink()
        elif key.endswith("~"):
            assert isinstance(value, list)
            old, new = value
            text = target.read_text()
            assert old in text, f"{key}: nothing to replace"
            target.write_text(text.replace(old, new))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            before = target.read_text() if key.endswith("+") else ""
            target.write_text(before + str(value))
