"""Plugins that the user installed, and where they came from: kept below our data directory, nothing else is written.

`plugins/installed.json` lists plugins and marketplaces; `plugins/cache/NAME/DIGEST/` holds one installed plugin, and
`plugins/marketplaces/NAME/` a marketplace. What counts is the content that the user installed: a plugin whose files
changed since is left out, with a notice, until it is installed again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from assay.app.config import Settings
from assay.app.paths import Paths
from assay.context.library.frontmatter import object_of
from assay.context.library.plugins import Plugin, digest_of, read_plugin
from assay.core.errors import UsageError
from assay.core.messages import Json

PATIENCE = 120.0
"""Seconds for one call of git."""
MARKETPLACE = ".claude-plugin/marketplace.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_GIT = re.compile(r"(?:https?|ssh|git|file)://\S+|[\w.-]+@[\w.-]+:\S+|\S+\.git")


class Installed(Struct, frozen=True):
    name: str
    path: str
    source: str
    digest: str
    version: str = ""
    marketplace: str = ""
    enabled: bool = True

    @property
    def key(self) -> str:
        return f"{self.name}@{self.marketplace}" if self.marketplace else self.name


class Marketplace(Struct, frozen=True):
    name: str
    path: str
    source: str
    git: bool = False


class Register(Struct, frozen=True):
    plugins: dict[str, Installed] = {}
    marketplaces: dict[str, Marketplace] = {}


class PluginStore:
    """What is installed for this user. Each method raises `UsageError` for what can't be done."""

    def __init__(self, paths: Paths) -> None:
        self.folder = paths.data / "plugins"
        self.data = self.folder / "data"
        """Where plugins may keep things of their own."""
        self._file = self.folder / "installed.json"

    def read(self) -> Register:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Register)
        except FileNotFoundError:
            return Register()
        except (OSError, msgspec.DecodeError) as error:
            raise UsageError(f"{self._file}: cannot be read ({error}); mend or remove it") from error

    def _write(self, register: Register) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_name(f"installed.{os.getpid()}.tmp")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(register), indent=1))
        fresh.replace(self._file)

    # --- plugins ----------------------------------------------------------------------------------------------------

    def install(self, what: str) -> Installed:
        """Copy the plugin in a folder, at a git address, or called NAME@MARKETPLACE, as it is now."""
        name, at, market = what.rpartition("@")
        if at and market in self.read().marketplaces:
            with self._offered(name, market) as (folder, source):
                return self._take(folder, source, market)
        if Path(what).expanduser().is_dir():
            return self._take(Path(what).expanduser(), str(Path(what).expanduser().resolve()), "")
        if not _GIT.fullmatch(what):
            known = ", ".join(self.read().marketplaces) or "none"
            raise UsageError(
                f"{what}: expected a folder, a git address, or NAME@MARKETPLACE (marketplaces here: {known})"
            )
        with _cloned(what) as folder:
            return self._take(folder, what, "")

    def _take(self, folder: Path, source: str, market: str) -> Installed:
        plugin, digest = read_plugin(folder), digest_of(folder)
        place = self.folder / "cache" / plugin.name / digest.removeprefix("sha256:")[:16]
        if place.exists():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, place, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        register = self.read()
        installed = Installed(plugin.name, str(place), source, digest_of(place), plugin.version, market)
        others = {
            key: each
            for key, each in register.plugins.items()
            if each.name != plugin.name and not Path(each.path).is_relative_to(place.parent)
        }
        self._write(replace(register, plugins={**others, installed.key: installed}))
        for old in place.parent.iterdir():
            if old != place:
                shutil.rmtree(old, ignore_errors=True)
        return installed

    def uninstall(self, name: str) -> Installed:
        register, found = self._find(name)
        self._write(replace(register, plugins={key: each for key, each in register.plugins.items() if each != found}))
        shutil.rmtree(Path(found.path).parent, ignore_errors=True)
        return found

    def enable(self, name: str, *, enabled: bool) -> Installed:
        register, found = self._find(name)
        changed = replace(found, enabled=enabled)
        self._write(replace(register, plugins={**register.plugins, found.key: changed}))
        return changed

    def _find(self, name: str) -> tuple[Register, Installed]:
        register = self.read()
        found = [each for each in register.plugins.values() if name in (each.key, each.name)]
        if not found:
            raise UsageError(f"no plugin '{name}' is installed; installed: {', '.join(register.plugins) or 'none'}")
        return register, found[0]

    # --- marketplaces -----------------------------------------------------------------------------------------------

    def add_marketplace(self, source: str) -> Marketplace:
        """A folder with a marketplace, or the git address of one, which is fetched."""
        local = Path(source).expanduser()
        if local.is_dir():
            name = _catalogue(local)[0]
            made = Marketplace(name, str(local.resolve()), str(local.resolve()))
        elif _GIT.fullmatch(source):
            with _cloned(source) as folder:
                name = _catalogue(folder)[0]
                place = self.folder / "marketplaces" / name
                _put(folder, place)
            made = Marketplace(name, str(place), source, git=True)
        else:
            raise UsageError(f"{source}: expected a folder with {MARKETPLACE}, or a git address")
        register = self.read()
        self._write(replace(register, marketplaces={**register.marketplaces, made.name: made}))
        return made

    def update_marketplace(self, name: str) -> Marketplace:
        """Fetch it again; nothing that is installed changes by it."""
        return self.add_marketplace(self._marketplace(name).source)

    def remove_marketplace(self, name: str) -> None:
        found, register = self._marketplace(name), self.read()
        left = {key: each for key, each in register.marketplaces.items() if key != name}
        self._write(replace(register, marketplaces=left))
        if found.git:
            shutil.rmtree(found.path, ignore_errors=True)

    def offers(self, name: str) -> list[str]:
        """Names of the plugins of a marketplace."""
        return list(_catalogue(Path(self._marketplace(name).path))[1])

    def _marketplace(self, name: str) -> Marketplace:
        register = self.read()
        if name not in register.marketplaces:
            known = ", ".join(register.marketplaces) or "none"
            raise UsageError(f"no marketplace '{name}'; there are: {known} (assay plugin marketplace add FOLDER|GIT)")
        return register.marketplaces[name]

    @contextmanager
    def _offered(self, name: str, market: str) -> Generator[tuple[Path, str]]:
        """The folder of a plugin of a marketplace, and where it is from."""
        base = Path(self._marketplace(market).path)
        plugins = _catalogue(base)[1]
        if name not in plugins:
            raise UsageError(f"{market} has no plugin '{name}'; it has: {', '.join(plugins) or 'none'}")
        said = plugins[name].get("source")
        fields = object_of(said)
        if isinstance(said, str) and not _GIT.fullmatch(said):
            folder = Path(os.path.realpath(base / said))
            if not folder.is_relative_to(os.path.realpath(base)):
                raise UsageError(f"{base / MARKETPLACE}: {name}: source {said} is outside the marketplace")
            yield folder, f"{name}@{market}"
            return
        url = said if isinstance(said, str) else str(fields.get("url") or "")
        if not url and isinstance(fields.get("repo"), str):
            url = f"https://github.com/{fields['repo']}.git"
        if not _GIT.fullmatch(url):
            raise UsageError(f"{base / MARKETPLACE}: {name}: expected a folder or a git address as its source")
        with _cloned(url, str(fields.get("ref") or "")) as folder:
            below = Path(os.path.realpath(folder / str(fields.get("path") or ".")))
            if not below.is_relative_to(os.path.realpath(folder)):
                raise UsageError(f"{base / MARKETPLACE}: {name}: path leads out of its repository")
            yield below, url


def session_plugins(
    paths: Paths, settings: Settings, folders: tuple[str, ...], notices: list[str], *, installed: bool = True
) -> list[Plugin]:
    """The plugins of a session: those named by flag, by settings, and the installed ones that are enabled. A folder
    named by flag has to be one; trouble with any other is told and costs that plugin only. Raises `UsageError`."""
    store = PluginStore(paths)
    found: dict[str, Plugin] = {}
    for folder in folders:
        plugin = read_plugin(Path(folder), store.data, "--plugin-dir")
        found.setdefault(plugin.name, plugin)
    for folder in settings.plugins:
        try:
            plugin = read_plugin(Path(folder), store.data, "settings")
            found.setdefault(plugin.name, plugin)
        except UsageError as error:
            notices.append(f"plugins: {error}")
    try:
        register = store.read() if installed else Register()
        for each in register.plugins.values():
            said = settings.enabled_plugins
            if not said.get(each.key, said.get(each.name, each.enabled)) or each.name in found:
                continue
            if not Path(each.path).is_dir() or digest_of(Path(each.path)) != each.digest:
                notices.append(
                    f"plugin {each.name} is not what was installed any more and is left out; "
                    f"to take it as it is now: assay plugin install {each.source}"
                )
                continue
            found[each.name] = read_plugin(Path(each.path), store.data, each.source)
    except UsageError as error:
        notices.append(str(error))
    return list(found.values())


def _catalogue(folder: Path) -> tuple[str, dict[str, dict[str, Json]]]:
    """Name and plugins of the marketplace in `folder`. Raises `UsageError`."""
    file = folder / MARKETPLACE
    try:
        raw = msgspec.json.decode(file.read_bytes(), type=dict[str, Json])
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}): not a marketplace") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"{file}: not a JSON object ({error})") from error
    name, listed = raw.get("name"), raw.get("plugins")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{file}: name: letters, digits, '.', '-' and '_' are expected")
    try:
        entries = msgspec.convert(listed or [], list[dict[str, Json]])
    except msgspec.ValidationError as error:
        raise UsageError(f"{file}: plugins: {error}") from error
    return name, {str(entry["name"]): entry for entry in entries if isinstance(entry.get("name"), str)}


@contextmanager
def _cloned(url: str, ref: str = "") -> Generator[Path]:
    """A repository as it is now, without its history, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="assay-plugin-") as temporary:
        folder = Path(temporary) / "it"
        argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "clone", "--quiet"]
        argv += ["--depth", "1", *(["--branch", ref] if ref else []), "--", url, str(folder)]
        quiet = {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
            "GIT_LFS_SKIP_SMUDGE": "1",
        }
        if ref.startswith("-"):
            raise UsageError(f"{url}: '{ref[:40]}' is no branch or tag")
        try:
            ended = subprocess.run(
                argv, env={**os.environ, **quiet}, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE
            )
        except FileNotFoundError:
            raise UsageError("git is needed to fetch a plugin, and is not installed") from None
        except subprocess.TimeoutExpired:
            raise UsageError(f"{url}: git did not finish within {PATIENCE:g} s") from None
        if ended.returncode:
            said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
            raise UsageError(f"{url}: git clone failed: {said[-1][:200] if said else ended.returncode}")
        yield folder


def _put(folder: Path, place: Path) -> None:
    fresh = place.with_name(f"{place.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, fresh, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
