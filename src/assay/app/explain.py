"""Why a call was decided as it was, from the log; and what would be decided about a call, from the settings."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from assay.app.compose import make_gate
from assay.app.config import load_settings, parse_sources
from assay.app.kept import Kept
from assay.app.paths import find_paths
from assay.app.task import Wish
from assay.core.errors import UsageError
from assay.core.events import CallDecided, CallFinished
from assay.core.policy import EXTERNAL, WORKSPACE, Decision, Effect, Label
from assay.core.store import Record
from assay.run.state import State

_WHAT_IF = re.compile(r"([A-Za-z_]\w*)\((.*)\)", re.DOTALL)
_KINDS = {
    "bash": "execute", "shell": "execute", "read": "read", "edit": "write", "write": "write", "webfetch": "network",
}  # fmt: skip


class Explained(Struct, frozen=True):
    """One decision and what it rests on."""

    call: str
    """Its id in the log; empty for a call that was not made."""
    tool: str
    effects: tuple[Effect, ...]
    label: Label
    """Of the session at that time: the call is by whoever wrote what the model had read."""
    decision: Decision
    digest: str
    """What leave for this call would be bound to; empty for a call that was not made."""
    result: str = ""
    """What came of it, in one line."""


def explain_logged(records: Iterable[Record], call: str) -> list[Explained]:
    """The decisions about the call whose id is or begins with `call`, oldest first. Raises `UsageError` if none was."""
    state = State()
    found: list[Explained] = []
    for record in records:
        event = record.event
        if isinstance(event, CallDecided) and event.call.startswith(call):
            found.append(Explained(event.call, event.tool, event.effects, state.label, event.decision, event.digest))
        if isinstance(event, CallFinished) and found and found[-1].call == event.result.call and not found[-1].result:
            last = found.pop()
            result = event.display or ("failed" if event.result.is_error else "done")
            found.append(Explained(last.call, last.tool, last.effects, last.label, last.decision, last.digest, result))
        state.apply(record)
    exact = [each for each in found if each.call == call]
    if not found:
        raise UsageError(f"no call '{call}' in this session; `assay sessions export` shows them (kind intent)")
    return exact or found


async def explain_imagined(text: str, wish: Wish) -> tuple[list[Explained], list[str]]:
    """What the gate of a run in `wish.directory` would say about `Tool(argument)` or a command line: in a session that
    has read the project only, and in one that has read what anyone may have written. With what is wrong in settings."""
    paths = find_paths(wish.environ)
    problems: list[str] = []
    sources = parse_sources(wish.setting_sources)
    settings, _ = load_settings(paths.settings, wish.directory, sources, wish.settings, problems)
    gate = make_gate(wish, settings, paths, Kept(), confined=not wish.no_sandbox)
    tool, effect = _imagined(text)
    found: list[Explained] = []
    for label in (WORKSPACE, WORKSPACE.join(EXTERNAL)):
        decision = await gate.decide(tool, (effect,), label)
        found.append(Explained("", tool, (effect,), label, decision, ""))
    return found, problems


def is_imagined(text: str) -> bool:
    """True for `Tool(argument)` and for a command line of several words; anything else is the id of a call."""
    return _WHAT_IF.fullmatch(text) is not None or " " in text.strip()


def _imagined(text: str) -> tuple[str, Effect]:
    match = _WHAT_IF.fullmatch(text.strip())
    if match is None:
        return "Bash", Effect("execute", text.strip())
    name, argument = match[1].lower(), match[2]
    if name not in _KINDS:
        raise UsageError(f"assay explain knows {', '.join(sorted(_KINDS))}; got '{match[1]}'")
    kind = _KINDS[name]
    tool = {"execute": "Bash", "write": "Edit", "read": "Read"}.get(kind, "WebFetch")
    target = argument.removeprefix("domain:") if kind == "network" else argument
    return tool, Effect(kind, target)  # type: ignore[arg-type]  # the values of _KINDS are kinds of effects
