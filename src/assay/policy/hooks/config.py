"""Hooks as settings, plugins and frontmatter name them: `{Event: [{matcher, hooks: [{type, command, …}]}]}`.

Source of the format: the public reference of hooks of the `claude` command. Ours: `onFailure` on any hook.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, cast, get_args

from msgspec import Struct

from assay.core.errors import UsageError
from assay.core.hooks import HookEvent
from assay.core.messages import Json

EVENTS: tuple[HookEvent, ...] = get_args(HookEvent)
GUARDS: frozenset[HookEvent] = frozenset({"PreToolUse", "PermissionRequest", "UserPromptSubmit"})
"""Where a hook that fails closes, unless it says `"onFailure": "allow"`."""
TIMEOUT = 600.0
"""Seconds that a hook has, where nothing else is said."""
_TIMEOUTS: dict[HookEvent, float] = {"UserPromptSubmit": 30.0, "SessionEnd": 5.0}
_LONGEST = 86_400.0
_EXACT = re.compile(r"[A-Za-z0-9_\- ,|]*")
_LONGEST_MATCHER = 2_000
_MOST = 1_000
"""Hooks of one source."""


class Handler(Struct, frozen=True):
    """One hook."""

    kind: Literal["command", "callback", "unsupported"]
    command: str
    """A shell line, the program when there are `args`, the id of a callback, or a type that can't be run here."""
    args: tuple[str, ...] | None = None
    """With these, `command` is started as it is, without a shell."""
    timeout: float = TIMEOUT
    detached: bool = False
    """Nobody waits for it."""
    condition: str = ""
    """A permission rule that the call has to meet."""
    once: bool = False
    closes: bool = False
    """When it fails, what it was asked about is refused."""
    root: str = ""
    """The directory of the plugin or skill that it comes from."""


class Group(Struct, frozen=True):
    """Hooks behind one matcher."""

    matcher: str
    handlers: tuple[Handler, ...]


HookTable = Mapping[HookEvent, tuple[Group, ...]]


def read_hooks(value: Json, where: str, root: str = "") -> tuple[HookTable, list[str]]:
    """The hooks of one source, and notices about those of events that never happen here.

    `value`: what stands under `hooks`. `where` names the source in messages, `root` is the directory of its plugin or
    skill. Raises `UsageError` for anything that can't be understood: a guard that is half read guards nothing.
    """
    table: dict[HookEvent, tuple[Group, ...]] = {}
    unknown: list[str] = []
    for name, groups in _object(value, where).items():
        event: HookEvent | None = next((each for each in EVENTS if each == name), None)
        if event is None:
            unknown.append(name)
            continue
        place = f"{where}: hooks.{name}"
        table[event] = tuple(
            _group(event, group, f"{place}[{number}]", root) for number, group in enumerate(_list(groups, place))
        )
    if sum(len(group.handlers) for groups in table.values() for group in groups) > _MOST:
        raise UsageError(f"{where}: hooks: more than {_MOST} hooks")
    notices = [f"{where}: hooks of {', '.join(sorted(unknown))} are never run: that never happens here"]
    return table, notices if unknown else []


def read_callbacks(value: Json) -> tuple[HookTable, list[str]]:
    """The hooks that a host registers: `{Event: [{matcher, hookCallbackIds, timeout?, onFailure?}]}`. Raises
    `UsageError`."""
    turned: dict[str, Json] = {}
    for name, groups in _object(value or {}, "initialize").items():
        place = f"initialize: hooks.{name}"
        turned[name] = [_callbacks(group, place) for group in _list(groups or [], place)]
    return read_hooks(turned, "initialize")


def joined(tables: Iterable[HookTable]) -> HookTable:
    """All hooks of several sources, in their order."""
    table: dict[HookEvent, tuple[Group, ...]] = {}
    for each in tables:
        for event, groups in each.items():
            table[event] = (*table.get(event, ()), *groups)
    return table


def matches(matcher: str, subject: str) -> bool:
    """Whether a matcher means `subject`: an empty one and `*` mean all, one of plain letters is a list of exact names,
    and anything else a regular expression that has to be found somewhere in it. `Agent` and `Task` are one name."""
    subjects = ("Agent", "Task") if subject in ("Agent", "Task") else (subject,)
    if matcher in ("", "*"):
        return True
    if _EXACT.fullmatch(matcher):
        return any(name.strip() in subjects for name in re.split(r"[,|]", matcher))
    return any(re.search(matcher, each) is not None for each in subjects)


def _callbacks(group: Json, place: str) -> Json:
    given = _object(group, place)
    common = {key: given[key] for key in ("timeout", "onFailure") if given.get(key) is not None}
    ids = given.get("hookCallbackIds")
    handlers: list[Json] = [{"type": "callback", "command": each, **common} for each in _list(ids or [], place)]
    return {"matcher": given.get("matcher"), "hooks": handlers}


def _group(event: HookEvent, value: Json, where: str, root: str) -> Group:
    given = _object(value, where)
    matcher = given.get("matcher") or ""
    if not isinstance(matcher, str) or len(matcher) > _LONGEST_MATCHER:
        raise UsageError(f"{where}.matcher: expected text of at most {_LONGEST_MATCHER} characters")
    if not _EXACT.fullmatch(matcher) and matcher != "*":
        try:
            re.compile(matcher)
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(f"{where}.matcher: {matcher[:80]!r} is no regular expression ({error})") from None
    handlers = _list(given.get("hooks"), f"{where}.hooks")
    return Group(
        matcher,
        tuple(_handler(event, each, f"{where}.hooks[{number}]", root) for number, each in enumerate(handlers)),
    )


def _handler(event: HookEvent, value: Json, where: str, root: str) -> Handler:
    given = _object(value, where)
    kind = given.get("type", "command")
    if not isinstance(kind, str):
        raise UsageError(f"{where}.type: expected a word")
    failure = given.get("onFailure")
    if failure not in (None, "block", "allow"):
        raise UsageError(f"{where}.onFailure: expected block or allow")
    closes = failure == "block" or (failure is None and event in GUARDS)
    if kind not in ("command", "callback"):
        return Handler("unsupported", kind[:80], closes=closes)
    command, args = given.get("command"), given.get("args")
    if not isinstance(command, str) or not command.strip() or "\0" in command:
        raise UsageError(f"{where}.command: expected a command line")
    words = None if args is None else tuple(_word(each, f"{where}.args") for each in _list(args, f"{where}.args"))
    condition = given.get("if") or ""
    if not isinstance(condition, str):
        raise UsageError(f"{where}.if: expected a permission rule")
    if condition:
        _check_rule(condition, where)
    return Handler(
        "callback" if kind == "callback" else "command",
        command,
        words,
        _seconds(given.get("timeout"), event, where),
        given.get("async") is True or given.get("asyncRewake") is True,
        condition,
        given.get("once") is True,
        closes,
        root,
    )


def _seconds(value: Json, event: HookEvent, where: str) -> float:
    if value is None:
        return _TIMEOUTS.get(event, TIMEOUT)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _LONGEST:
        raise UsageError(f"{where}.timeout: expected seconds, more than 0 and at most {_LONGEST:.0f}")
    return float(value)


def _check_rule(text: str, where: str) -> None:
    from assay.policy.rules import parse_rule

    try:
        parse_rule(text)
    except UsageError as error:
        raise UsageError(f"{where}.if: {error}") from None


def _word(value: Json, where: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise UsageError(f"{where}: expected a list of words")
    return value


def _object(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected an object")
    return cast("dict[str, Json]", value)


def _list(value: Json, where: str) -> list[Json]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: expected a list")
    return cast("list[Json]", value)
