"""Settings in layers, with trust.

From weak to strong: the user's file, the project's `.assay/settings.json` and `.assay/settings.local.json`, what
`--settings` names, flags. Right below each file of ours counts the one that the `claude` command has (`app.compat`).
A project layer comes with the repository, so it may only tighten: add deny and ask rules and protected patterns, lower
budgets. Whatever would loosen is ignored, with a notice, until the user lists the SHA-256 of that very content under
`trustedSettings` in their own file. An unknown key is reported and ignored, unless it looks like one of the policy. A
malformed file, and a rule that is none or contradicts its own examples, are errors that name file and line, because a
half-read policy is worse than none: no work is done by it. Who only wants to look is given the stricter reading, which
keeps what denies and drops what allows.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import msgspec
from msgspec import Struct

from assay.app.limits import CommandLimits
from assay.core.errors import UsageError

if TYPE_CHECKING:
    from assay.app.compat import Compat

Mode = Literal["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]


class PermissionRule(Struct, frozen=True, rename={"others": "not"}, forbid_unknown_fields=True):
    """A rule with its reason, and examples that are tried when it loads: command lines, paths or hosts."""

    allow: str = ""
    ask: str = ""
    deny: str = ""
    because: str = ""
    matches: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


class Permissions(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    rules: tuple[PermissionRule, ...] = ()
    default_mode: Mode | None = None
    additional_directories: tuple[str, ...] = ()


class SandboxSettings(Struct, frozen=True, forbid_unknown_fields=True):
    backend: Literal["system", "container"] = "system"
    engine: Literal["podman", "docker"] = "podman"
    image: str = ""


class Settings(Struct, frozen=True, rename="camel"):
    """Every key that a settings file may have; docs/reference.md describes each."""

    model: str | None = None
    fallback_model: tuple[str, ...] = ()
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    thinking: str | None = None
    attempts: Annotated[int, msgspec.Meta(ge=1, le=32)] | None = None
    """Attempts at a turn at most."""
    cascade: tuple[str, ...] = ()
    """Models that follow, one attempt each, when the gate is not content."""
    permissions: Permissions = Permissions()
    checks: tuple[str, ...] = ()
    """Acceptance checks for every task here, as `--check` gives them for one."""
    protected: tuple[str, ...] = ()
    """Patterns of further paths that only the user may change."""
    unprotected: tuple[str, ...] = ()
    """Patterns of protected paths that the agent may change here."""
    max_turns: int | None = None
    max_tokens_total: int | None = None
    max_budget_usd: float | None = None
    max_seconds: float | None = None
    limits: CommandLimits = CommandLimits()
    """What one confined command may use, in numbers once it is loaded."""
    environment: tuple[str, ...] = ()
    """Names of variables that confined commands may see."""
    egress: dict[str, object] = {}
    """Hosts that confined commands may reach (`app.egress` reads it); a project can only take some away, trusted or
    not."""
    sandbox: SandboxSettings = SandboxSettings()
    """What confines commands; never a project's to say, trusted or not."""
    mcp_servers: dict[str, object] = {}
    """MCP servers that every session of the user has."""
    enabled_mcpjson_servers: tuple[str, ...] = ()
    """Servers of a project's `.mcp.json` that may start, by name."""
    disabled_mcpjson_servers: tuple[str, ...] = ()
    enable_all_project_mcp_servers: bool = False
    search: str = ""
    """The address of a search engine with `{query}` in it; the user's to say, as `sandbox`."""
    providers: dict[str, dict[str, object]] = {}
    models: dict[str, dict[str, object]] = {}
    aliases: dict[str, str] = {}
    trusted_settings: tuple[str, ...] = ()
    output_style: str | None = None
    """How the model should answer: the name of a style."""
    hooks: dict[str, object] = {}
    """What is run at points of a session, by event (`policy.hooks` reads it)."""
    disable_all_hooks: bool = False
    plugins: tuple[str, ...] = ()
    """Folders of plugins, as `--plugin-dir`."""
    enabled_plugins: dict[str, bool] = {}
    """Which of the installed plugins count, by `NAME@MARKETPLACE` or NAME."""


_TIGHTENING = frozenset({
    "protected", "egress", "limits", "max_turns", "max_tokens_total", "max_budget_usd", "max_seconds", "output_style",
})  # fmt: skip
_ADDING = frozenset({
    "checks", "protected", "unprotected", "environment", "trusted_settings", "plugins", "enabled_mcpjson_servers",
    "disabled_mcpjson_servers",
})  # fmt: skip
_MERGING = frozenset({"providers", "models", "aliases", "enabled_plugins", "mcp_servers"})
_POLICY = frozenset({"permissions", "protected", "unprotected", "environment", "egress", "limits", "sandbox"})
_STRICT_MODES = {"dontAsk": 1, "plan": 2}
"""Modes that are stricter than the default, and how much."""


def load_settings(
    user_file: Path,
    project: Path,
    sources: frozenset[str],
    extra: str | None = None,
    problems: list[str] | None = None,
    compat: Compat | None = None,
) -> tuple[Settings, list[str]]:
    """Read and merge the layers named in `sources` (user, project, local), then `extra` (`--settings`: a path or JSON).
    With `compat`, files of the `claude` command count, too, each right below ours.

    Returns the settings and notices for the person. Raises `UsageError` for a file that is not valid; with a list for
    `problems` it is told there instead, and the stricter reading of that file counts.
    """
    notices: list[str] = []
    merged = Settings()
    own = compat.user_file if compat else None
    if compat and own and "user" in sources and (text := _read_if_any(own, notices)):
        merged, model = compat.read(text, own, notices)
        compat.accept(model)
    if "user" in sources and (text := _read(user_file)):
        merged = _merge(merged, _layer(text, str(user_file), notices, problems))
    trusted = merged.trusted_settings
    for source, name in (("project", "settings.json"), ("local", "settings.local.json")):
        if source not in sources:
            continue
        path = project / ".claude" / name
        if compat and path != own and (text := _read_if_any(path, notices)):
            layer, model = compat.read(text, path, notices)
            layer, is_trusted = _allowed(layer, merged, text, path, user_file, trusted, notices)
            if is_trusted:
                compat.accept(model)
            merged = _merge(merged, layer)
        path = project / ".assay" / name
        if text := _read(path):
            layer = _layer(text, str(path), notices, problems)
            merged = _merge(merged, _allowed(layer, merged, text, path, user_file, trusted, notices)[0])
    if compat:
        compat.tell(notices)
    if extra:
        text = extra.encode("utf-8", "surrogateescape") if extra.lstrip().startswith("{") else _read(Path(extra))
        if text is None:
            raise UsageError(f"--settings: there is no file {extra}")
        merged = _merge(
            merged, _layer(text, "--settings" if extra.lstrip().startswith("{") else extra, notices, problems)
        )
    return merged, notices


def _allowed(
    layer: Settings,
    merged: Settings,
    text: bytes,
    path: Path,
    user_file: Path,
    trusted: tuple[str, ...],
    notices: list[str],
) -> tuple[Settings, bool]:
    """What a file of the project may say, and whether the user trusts its content."""
    digest = f"sha256:{sha256(text).hexdigest()}"
    if layer.egress.keys() - {"deny"}:
        notices.append(f"{path}: ignored egress but for deny: hosts are allowed in {user_file} only")
        deny = {key: value for key, value in layer.egress.items() if key == "deny"}
        layer = msgspec.structs.replace(layer, egress=deny)
    if layer.sandbox != SandboxSettings():
        notices.append(f"{path}: ignored sandbox: what confines commands is set in {user_file} only")
        layer = msgspec.structs.replace(layer, sandbox=SandboxSettings())
    if layer.search:
        notices.append(f"{path}: ignored search: where words are sent is set in {user_file} only")
        layer = msgspec.structs.replace(layer, search="")
    if digest in trusted:
        return layer, True
    layer, loosening = _tightened(layer, merged)
    if loosening:
        notices.append(
            f"{path}: ignored {', '.join(loosening)}, which would loosen what you set; "
            f'to trust this content, add "{digest}" to trustedSettings in {user_file}'
        )
    return layer, False


def find_compat(home: Path | None, project: Path) -> Compat | None:
    """What reads settings for the `claude` command, if there are any; `home`: the user's folder for it."""
    places = [project / ".claude" / name for name in ("settings.json", "settings.local.json")]
    if not any(path.is_file() for path in (*([home / "settings.json"] if home else []), *places)):
        return None
    from assay.app.compat import Compat

    return Compat(home)


def parse_sources(text: str | None) -> frozenset[str]:
    """The value of `--setting-sources`; all of them when it is not given."""
    names = ("user", "project", "local")
    if text is None:
        return frozenset(names)
    given = frozenset(word.strip() for word in text.split(",") if word.strip())
    if wrong := given - frozenset(names):
        raise UsageError(f"--setting-sources takes {', '.join(names)}; got '{min(wrong)}'")
    return given


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); mend or remove it") from error


def _read_if_any(path: Path, notices: list[str]) -> bytes | None:
    """A file that is not ours: trouble with it is told."""
    try:
        return _read(path)
    except UsageError as error:
        notices.append(str(error))
        return None


def _layer(text: bytes, where: str, notices: list[str], problems: list[str] | None) -> Settings:
    """One file. Raises `UsageError` for the first thing that is wrong with it, or adds all to `problems`."""
    from assay.app.rulefile import faults_of, stricter

    try:
        settings = _parse(text, where, notices)
        faults = faults_of(settings, text.decode("utf-8", "surrogateescape"), where)
    except UsageError as error:
        settings, faults = None, [str(error)]
    if not faults:
        return settings or Settings()
    if problems is None:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UsageError(f"{faults[0]}{more}")
    problems += faults
    return stricter(text)


def _choices(path: str) -> list[str]:
    """The words that the key at `path` (`$.permissions.defaultMode`) takes; [] where it takes something else."""
    from msgspec import inspect

    kinds: tuple[inspect.Type, ...] = (inspect.type_info(Settings),)
    for name in path.split(".")[1:]:
        fields = [field for kind in kinds if isinstance(kind, inspect.StructType) for field in kind.fields]
        found = next((field.type for field in fields if field.encode_name == name), inspect.AnyType())
        kinds = found.types if isinstance(found, inspect.UnionType) else (found,)
    return [str(word) for kind in kinds if isinstance(kind, inspect.LiteralType) for word in kind.values]


def _parse(text: bytes, where: str, notices: list[str]) -> Settings:
    from assay.app.lines import at, line_at, line_of

    shown = text.decode("utf-8", "surrogateescape")
    try:
        raw = msgspec.json.decode(text, type=dict[str, object])
        known = {field.encode_name for field in msgspec.structs.fields(Settings)}
        for key in raw:
            if key not in known and (meant := _meant(key, known)):
                raise UsageError(
                    f"{at(where, line_of(shown, f'$.{key}'))}: unknown key '{key}'; did you mean '{meant}'?"
                )
        notices += [f"{where}: unknown key '{key}' is ignored" for key in raw if key not in known]
        settings = msgspec.convert(raw, Settings)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        said = str(error)
        offset = re.search(r"\(byte (\d+)\)", said)
        path = re.search(r"at `(\$.*)`", said)
        field = re.search(r"unknown field `(.*?)`", said)
        if offset:
            line = line_at(shown, int(offset[1]))
        else:
            line = line_of(shown, (path[1] if path else "$") + (f".{field[1]}" if field else ""))
        words = _choices(path[1]) if path and "enum value" in said else []
        said = f"{said}, which takes {', '.join(words)}" if words else said
        raise UsageError(f"{at(where, line)}: not valid settings ({said}); mend it or leave it out") from error
    if settings.egress:
        from assay.app.egress import read_egress  # few have any, and each start reads settings

        read_egress(settings.egress, at(where, line_of(shown, "$.egress")))
    if settings.limits != CommandLimits():
        limits = settings.limits.read(at(where, line_of(shown, "$.limits")))
        settings = msgspec.structs.replace(settings, limits=limits)
    return settings


def _meant(key: str, known: set[str]) -> str:
    """The key of the policy that `key` was probably meant to be: a slip there would quietly lift what it forbids."""
    from difflib import get_close_matches

    close = get_close_matches(key.casefold(), [name.casefold() for name in known], 1, 0.75)
    return next((name for name in _POLICY & known if close and name.casefold() == close[0]), "")


def _tightened(layer: Settings, base: Settings) -> tuple[Settings, list[str]]:
    """What an untrusted layer may say, and the keys of what it may not."""
    mode, present = layer.permissions.default_mode, base.permissions.default_mode
    stricter = _STRICT_MODES.get(mode or "", 0) > _STRICT_MODES.get(present or "", 0)
    allowed: dict[str, object] = {
        "permissions": Permissions(
            ask=layer.permissions.ask,
            deny=layer.permissions.deny,
            rules=tuple(rule for rule in layer.permissions.rules if not rule.allow),
            default_mode=mode if stricter else None,
        )
    }
    loosening = [
        f"permissions.{key}"
        for key, value in (
            ("allow", layer.permissions.allow),
            ("rules", any(rule.allow for rule in layer.permissions.rules)),
            ("defaultMode", mode not in (None, "default", *_STRICT_MODES)),
            ("additionalDirectories", layer.permissions.additional_directories),
        )
        if value
    ]
    blank = Settings()
    for field in msgspec.structs.fields(Settings):
        value = getattr(layer, field.name)
        if field.name == "permissions" or value == getattr(blank, field.name):
            continue
        if field.name in _TIGHTENING:
            allowed[field.name] = _lower(getattr(base, field.name), value)
        else:
            loosening.append(field.encode_name)
    return Settings(**allowed), loosening  # type: ignore[arg-type]  # names and types are those of the fields themselves


def _lower(base: object, value: object) -> object:
    if isinstance(base, (int, float)) and isinstance(value, (int, float)):
        return min(base, value)
    if isinstance(base, CommandLimits) and isinstance(value, CommandLimits):
        return value.at_most(base)
    return value


def _merge(weak: Settings, strong: Settings) -> Settings:
    values: dict[str, object] = {}
    blank = Settings()
    for field in msgspec.structs.fields(Settings):
        low, high = getattr(weak, field.name), getattr(strong, field.name)
        if field.name == "permissions":
            values[field.name] = _merge_permissions(weak.permissions, strong.permissions)
        elif field.name == "egress":
            values[field.name] = _merge_egress(low, high)
        elif field.name == "limits":
            values[field.name] = strong.limits.over(weak.limits)
        elif field.name == "hooks":
            values[field.name] = _merge_hooks(low, high)
        elif field.name in _ADDING:
            values[field.name] = tuple(dict.fromkeys((*low, *high)))
        elif field.name in _MERGING:
            values[field.name] = {**low, **high}
        else:
            values[field.name] = high if high != getattr(blank, field.name) else low
    return Settings(**values)  # type: ignore[arg-type]  # names and types are those of the fields themselves


def _merge_egress(weak: dict[str, object], strong: dict[str, object]) -> dict[str, object]:
    if not (weak and strong):
        return weak or strong
    from assay.app.egress import merged

    return merged(weak, strong)


def _merge_hooks(weak: dict[str, object], strong: dict[str, object]) -> dict[str, object]:
    """Those of both, event by event."""
    merged = {**weak, **strong}
    for event in weak.keys() & strong.keys():
        low, high = weak[event], strong[event]
        if isinstance(low, list) and isinstance(high, list):
            merged[event] = [*cast("list[object]", low), *cast("list[object]", high)]
    return merged


def _merge_permissions(weak: Permissions, strong: Permissions) -> Permissions:
    return Permissions(
        (*weak.allow, *strong.allow),
        (*weak.ask, *strong.ask),
        (*weak.deny, *strong.deny),
        (*weak.rules, *strong.rules),
        strong.default_mode or weak.default_mode,
        (*weak.additional_directories, *strong.additional_directories),
    )
