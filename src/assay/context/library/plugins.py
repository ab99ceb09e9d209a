"""Plugins: a folder with any of skills, commands, agents, hooks, servers and output styles.

Layout: `.claude-plugin/plugin.json` (optional; `name` required in it), `skills/`, `commands/`, `agents/`,
`output-styles/`, `hooks/hooks.json`, `.mcp.json`. Text in hooks and servers may say `${CLAUDE_PLUGIN_ROOT}`, the
plugin's folder, and `${CLAUDE_PLUGIN_DATA}`, a folder of its own that outlives updates.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from assay.context.library.frontmatter import object_of
from assay.context.library.places import Shelf
from assay.core.errors import UsageError
from assay.core.messages import Json

MANIFEST = ".claude-plugin/plugin.json"
PARTS = ("skills", "commands", "agents", "output-styles", "hooks", ".mcp.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST = 1_000_000
_FILES = 5_000
_BYTES = 100_000_000


class Plugin(Struct, frozen=True):
    name: str
    path: Path
    version: str = ""
    description: str = ""
    source: str = ""
    """Where it was installed from; empty for a folder named on the command line or in settings."""
    hooks: dict[str, Json] = {}
    """As in a settings file: event -> groups, variables put in."""
    servers: dict[str, Json] = {}
    """MCP servers by name, variables put in."""

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.path, "plugin", self.name, self.path)


def read_plugin(path: Path, data: Path | None = None, source: str = "") -> Plugin:
    """The plugin in folder `path`; `data`: where folders of plugins' own lie. Raises `UsageError` that names the file
    and what is wrong."""
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - links stay as they were named
    if not path.is_dir():
        raise UsageError(f"{path}: no plugin: there is no such folder")
    manifest = _object(path / MANIFEST) if (path / MANIFEST).is_file() else {}
    name = manifest.get("name", path.name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{path / MANIFEST}: name: letters, digits, '.', '-' and '_' are expected")
    if not manifest and not any((path / part).exists() for part in PARTS):
        raise UsageError(f"{path}: no plugin: it has neither {MANIFEST} nor any of {', '.join(PARTS)}")
    told = {"CLAUDE_PLUGIN_ROOT": str(path), "CLAUDE_PLUGIN_DATA": str(data / name) if data else str(path)}
    return Plugin(
        name,
        path,
        str(manifest.get("version") or ""),
        str(manifest.get("description") or ""),
        source,
        _part(path, manifest, "hooks", "hooks/hooks.json", "hooks", told),
        _part(path, manifest, "mcpServers", ".mcp.json", "mcpServers", told),
    )


def _part(
    path: Path, manifest: dict[str, Json], key: str, default: str, wrapper: str, told: dict[str, str]
) -> dict[str, Json]:
    """What the manifest says under `key` (an object, or the name of a file), else the default file; the object may be
    wrapped in one of its own name."""
    said = manifest.get(key)
    found = object_of(said)
    if not found:
        file = path / (said if isinstance(said, str) else default)
        if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(path)):
            raise UsageError(f"{path / MANIFEST}: {key}: {said} is outside the plugin")
        if not file.is_file():
            if isinstance(said, str):
                raise UsageError(f"{path / MANIFEST}: {key}: there is no file {said}")
            return {}
        found = _object(file)
    return object_of(_filled(object_of(found.get(wrapper)) or found, told))


def _filled(value: Json, told: dict[str, str]) -> Json:
    if isinstance(value, str):
        for name, text in told.items():
            value = value.replace(f"${{{name}}}", text)
        return value
    if inner := object_of(value):
        return {key: _filled(item, told) for key, item in inner.items()}
    return [_filled(item, told) for item in cast("list[Json]", value)] if isinstance(value, list) else value


def _object(path: Path) -> dict[str, Json]:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_LARGEST), type=dict[str, Json])
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(f"{path}: not a JSON object ({error})") from error


def digest_of(path: Path) -> str:
    """SHA-256 over names, modes of programs, and bytes of all files of a plugin, `.git` aside. Raises `UsageError` for
    a folder that is too large to be a plugin, or has a link that leads out of it."""
    whole = sha256()
    top = Path(os.path.realpath(path))
    files = size = 0
    for folder, directories, names in os.walk(top):
        directories[:] = sorted(name for name in directories if name != ".git")
        links = [name for name in directories if (Path(folder) / name).is_symlink()]
        for name in sorted((*names, *links)):
            file = Path(folder) / name
            if not Path(os.path.realpath(file)).is_relative_to(top):
                raise UsageError(f"{file}: a link that leads out of the plugin")
            if file.is_dir() or not (file.is_file() or file.is_symlink()):
                continue
            if not file.exists():
                continue
            info = file.stat()
            files, size = files + 1, size + info.st_size
            if files > _FILES or size > _BYTES:
                raise UsageError(f"{path}: more than {_FILES:,} files or {_BYTES // 1_000_000} MB: not a plugin")
            relative = str(file.relative_to(top)).encode("utf-8", "surrogateescape")
            content = sha256(file.read_bytes()).digest()
            whole.update(b"%d:%s%d%s" % (len(relative), relative, bool(info.st_mode & 0o100), content))
    return f"sha256:{whole.hexdigest()}"
