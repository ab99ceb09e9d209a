"""Changes of permissions that outlast their session: written to our settings files, whole or not at all.

A project's file counts by its content (`app.config`). When we change one that the user trusts, or make it, what we
wrote is trusted from then on; one with content that the user does not trust is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assay.core.messages import Json

if TYPE_CHECKING:
    from assay.app.paths import Paths

Table = dict[str, Json]
_FILES = {"localSettings": "settings.local.json", "projectSettings": "settings.json"}


def remember(updates: Sequence[Table], paths: Paths, project: Path) -> list[str]:
    """Write `updates` (as `app.permissions` reads them) to the files they are for. Returns what could not be done."""
    notices: list[str] = []
    for destination in dict.fromkeys(str(update["destination"]) for update in updates):
        meant = [update for update in updates if update["destination"] == destination]
        own = destination == "userSettings"
        path = paths.settings if own else project / ".assay" / _FILES[destination]
        try:
            _change(path, meant, None if own else paths.settings)
        except _Left as reason:
            notices.append(f"{path}: permissions not kept there, they hold for this session only: {reason}")
        except OSError as error:
            notices.append(f"{path}: permissions not kept there: {error.strerror}")
    return notices


class _Left(Exception):
    """Why a file is left as it is."""


def _change(path: Path, updates: list[Table], user: Path | None) -> None:
    before, settings = _read(path)
    trust = _Trust(user) if user else None
    if trust and before is not None and settings and not trust.has(before):
        raise _Left("its content is not in trustedSettings")
    held = settings.setdefault("permissions", {})
    if not isinstance(held, dict):
        raise _Left("its permissions are no object")
    for update in updates:
        _apply(cast("Table", held), update)
    after = json.dumps(settings, indent=2, ensure_ascii=False).encode() + b"\n"
    if after == before:
        return
    _write(path, after)
    if trust:
        trust.replace(before, after)


def _apply(held: Table, update: Table) -> None:
    kind = update["type"]
    if kind == "setMode":
        held["defaultMode"] = update["mode"]
        return
    directories = kind in ("addDirectories", "removeDirectories")
    key = "additionalDirectories" if directories else str(update["behavior"])
    given = cast("list[Json]", update["directories" if directories else "rules"])
    listed = held.get(key)
    there = cast("list[Json]", listed) if isinstance(listed, list) else []
    if str(kind).startswith("remove"):
        held[key] = [each for each in there if each not in given]
    elif kind == "replaceRules":
        held[key] = given
    else:
        held[key] = [*there, *(each for each in given if each not in there)]


class _Trust:
    """The digests in the user's own settings."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _, self._settings = _read(path)
        listed = self._settings.get("trustedSettings")
        self._digests = cast("list[Json]", listed) if isinstance(listed, list) else []

    def has(self, content: bytes) -> bool:
        return _digest(content) in self._digests

    def replace(self, before: bytes | None, after: bytes) -> None:
        gone = "" if before is None else _digest(before)
        self._settings["trustedSettings"] = [*(each for each in self._digests if each != gone), _digest(after)]
        _write(self._path, json.dumps(self._settings, indent=2, ensure_ascii=False).encode() + b"\n")


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _read(path: Path) -> tuple[bytes | None, Table]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None, {}
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _Left(f"it is not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise _Left("it holds no JSON object")
    return content, cast("Table", value)


def _write(path: Path, content: bytes) -> None:
    """The whole file by a rename, its mode kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        beside.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
