"""To which sink an effect goes, and what is decided about it where no rule of the user speaks.

Where there is a sandbox, it is the boundary: a program that can't be understood touches the workspace at most,
protected names are read-only or held back, and only the proxy leads out. So nothing is asked there for not being
understood.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from assay.core.policy import Effect, Label, Sink, Weighed
from assay.policy.bounds import Bounds, PermissionMode
from assay.policy.matching import Matcher
from assay.policy.paths import Place, place_of, touches, within

_OURS = re.compile(r"(?:^|[\s/;&|('\"=])assay\b")
_FILES = frozenset({"read", "write", "delete", "destroy"})
_CHANGES = _FILES - {"read"}
_CHANGES_ELSEWHERE = "mcp:"
"""How the target of a call to an MCP server begins, unless a server that the user chose says that it only reads."""
_SERVERS = ("mcp:", "mcp-read:")
_DEVICES = frozenset(f"/dev/{name}" for name in ("null", "zero", "full", "tty", "stdin", "stdout", "stderr"))
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/fd", "/dev/shm")  # noqa: S108 - where commands write, not we


class Sinks:
    def __init__(self, bounds: Bounds, mode: PermissionMode, match: Matcher) -> None:
        self._bounds = bounds
        self._mode: PermissionMode = mode
        self._match = match

    def of(self, effect: Effect, *, inner: bool) -> Sink:
        if effect.kind == "network":
            return "egress"
        if effect.kind == "control":
            return "control"
        if effect.kind not in _CHANGES:
            return ""
        place = place_of(effect.target, self._bounds.root)
        if touches(place, self._match.ours):
            return "control"
        if not within(place, self._match.writable):
            free = inner and (self._bounds.confined or _temporary(place))
            taken = effect.kind != "write" and any(_above(place, top) for top in self._match.writable)
            return "" if free and not taken else "persist"
        if self._match.protected_part(place):
            return "persist"
        return "" if effect.kind == "write" else "destroy"

    def fixed(self, effect: Effect, sink: Sink, label: Label, *, inner: bool, leave: str) -> Weighed | None:
        """What no allow rule and no mode changes, but for a rule that names a command with more rights than ours."""
        bounds = self._bounds
        if sink == "control":
            if "(" in leave and effect.kind == "control" and not _OURS.search(effect.target):
                return Weighed(effect, "allow", f"allow {leave}", "", sink)
            return Weighed(effect, "deny", "control", f"{said(effect)}: a model can't change what limits it", sink)
        if effect.kind == "network" and _stopped(label) and label.secrecy == "secret" and not self._walled(inner):
            why = f"{said(effect)}: this session has read secrets and outside text; nothing leaves it"
            return Weighed(effect, "deny", "secret", why, sink)
        if self._mode == "plan" and effect.kind == "network" and effect.target.startswith(_CHANGES_ELSEWHERE):
            why = f"plan mode: {shown(effect.target)} may change things; present the plan instead"
            return Weighed(effect, "deny", "mode plan", why, sink)
        if effect.kind not in _CHANGES:
            return None
        inside = within(place_of(effect.target, bounds.root), self._match.writable)
        asks = bounds.attended and effect.kind == "write" and not inner
        if not inside and (not inner or effect.kind == "destroy") and sink == "persist" and not asks:
            why = f"{shown(effect.target)} is outside the workspace (see --add-dir)"
            return Weighed(effect, "deny", "outside", why, sink)
        if (inside or asks) and self._mode == "plan":
            return Weighed(
                effect, "deny", "mode plan", "plan mode: files can't be changed; present the plan instead", sink
            )
        return None

    def default(self, effect: Effect, sink: Sink, label: Label, *, inner: bool) -> Weighed:
        match effect.kind:
            case "none":
                return Weighed(effect, "allow", "no effect")
            case "read":
                return self._read(effect, label, inner)
            case "write" | "delete" | "destroy":
                return self._change(effect, sink, inner)
            case "network":
                return self._egress(effect, label, inner)
            case "execute" | "unknown" if inner and self._bounds.confined:
                return Weighed(effect, "allow", "confined")
            case "execute" if inner:
                return Weighed(effect, "allow", "as the command")
            case "unknown" if inner and self._trusted(label):
                return Weighed(effect, "allow", "--no-sandbox")
            case _:
                return Weighed(effect, "ask", "not known to be harmless", f"{said(effect)} needs approval", sink)

    def _read(self, effect: Effect, label: Label, inner: bool) -> Weighed:
        if within(place_of(effect.target, self._bounds.root), self._match.readable):
            return Weighed(effect, "allow", "inside")
        if inner and self._bounds.confined:
            return Weighed(effect, "allow", "confined")
        if self._mode == "bypassPermissions":
            return Weighed(effect, "allow", f"mode {self._mode}")
        if inner and self._trusted(label):
            return Weighed(effect, "allow", "--no-sandbox")
        why = f"{shown(effect.target)} is outside the workspace; reading it needs approval"
        return Weighed(effect, "ask", "outside", why)

    def _change(self, effect: Effect, sink: Sink, inner: bool) -> Weighed:
        place = place_of(effect.target, self._bounds.root)
        if not within(place, self._match.writable):
            if sink != "persist":
                return Weighed(effect, "allow", "confined" if self._bounds.confined else "temporary")
            why = f"{shown(effect.target)} is outside the workspace; changing it needs approval"
            return Weighed(effect, "ask", "outside", why, sink)
        if name := self._match.protected_part(place):
            if inner and self._bounds.confined:
                why = (
                    f"{name} is a protected name, which commands can't change; use Edit or Write, and a person decides"
                )
                return Weighed(effect, "deny", "protected", why, sink)
            why = f"{name} is a protected name: it can make others run something. Changing it needs approval"
            return Weighed(effect, "ask", "protected", why, sink)
        return Weighed(effect, "allow", "checkpoint" if sink == "destroy" else "inside", "", sink)

    def _egress(self, effect: Effect, label: Label, inner: bool) -> Weighed:
        bounds, host = self._bounds, effect.target.casefold().rstrip(".")
        if self._walled(inner):
            return Weighed(effect, "allow", "confined: no way out", "", "egress")
        if host in bounds.cleared:
            return Weighed(effect, "allow", "cleared host", "", "egress")
        if inner and bounds.confined and "." in host and host not in bounds.hosts:
            # The proxy refuses it, and says how a user would allow it.
            return Weighed(effect, "allow", "confined: no such host", "", "egress")
        if self._mode == "bypassPermissions" and host.startswith(_SERVERS):
            # What a server says is always external, so the second call would be stopped by the first.
            return Weighed(effect, "allow", f"mode {self._mode}", "", "egress")
        if _stopped(label):
            why = f"{said(effect)}: this session has read outside text and knows the project; sending needs approval"
            return Weighed(effect, "ask", "rule of two", why, "egress")
        if host.startswith("mcp-read:") and not inner:
            # The user chose that server, and it says that this tool changes nothing.
            return Weighed(effect, "allow", "reads only", "", "egress")
        if host in bounds.hosts or (inner and bounds.confined):
            return Weighed(effect, "allow", "host of the settings", "", "egress")
        if inner and bounds.unconfined_ok:
            return Weighed(effect, "allow", "--no-sandbox", "", "egress")
        if self._mode == "bypassPermissions" and label.integrity != "external":
            return Weighed(effect, "allow", f"mode {self._mode}", "", "egress")
        return Weighed(effect, "ask", "not known to be harmless", f"{said(effect)} needs approval", "egress")

    def _walled(self, inner: bool) -> bool:
        """Nothing that a command does can leave: the sandbox has no network at all."""
        return inner and self._bounds.confined and not self._bounds.hosts

    def _trusted(self, label: Label) -> bool:
        """The user let commands run unconfined, and nobody else can have had a say in this one."""
        return self._bounds.unconfined_ok and label.integrity != "external"


def _stopped(label: Label) -> bool:
    """Two of the three are true; sending would be the third."""
    return label.integrity == "external" and label.secrecy != "public"


def _above(place: Place, top: Place) -> bool:
    """`top` is, or lies below, what `place` names, which may be a pattern: whoever removes that removes it too."""
    wanted, mine = PurePosixPath(place.named).parts, PurePosixPath(top.named).parts
    return len(wanted) <= len(mine) and all(map(fnmatchcase, mine, wanted))


def _temporary(place: Place) -> bool:
    if place.named in _DEVICES:
        return True
    return all(any(path.startswith(f"{top}/") for top in _TEMPORARY) for path in (place.named, place.real))


def place_for(effect: Effect, root: str) -> Place | None:
    """Where the file of an effect lies; None for effects that are not about a file, or name none."""
    try:
        return place_of(effect.target, root) if effect.kind in _FILES else None
    except ValueError:
        return None


def said(effect: Effect) -> str:
    return f"{effect.kind} {shown(effect.target)}".strip()


def shown(target: str) -> str:
    """One short line without anything that can't be seen."""
    line = "".join(character if character.isprintable() else "?" for character in " ".join(target[:400].split()))
    return line if len(line) <= 80 else line[:79] + "…"
