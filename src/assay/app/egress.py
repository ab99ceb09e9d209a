"""Egress settings, and the proxy made of them. They count in the user's own file (or `--settings`) only."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from assay.core.egress import Exchange, Host, host_name, is_address
from assay.core.errors import AssayError, UsageError
from assay.core.events import Noticed
from assay.core.policy import Label

if TYPE_CHECKING:
    from assay.run.run import Run
    from assay.workspace.sandbox.egress.proxy import Egress


class EgressSettings(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    hosts: dict[str, Host] = {}
    deny: tuple[str, ...] = ()
    """Hosts that are not to be reached after all; the one thing that a project may say."""
    bytes_out: int | None = None


def read_egress(raw: dict[str, object], where: str = "settings") -> EgressSettings:
    """Raises `UsageError` for what makes no sense; `where` is the file."""
    try:
        settings = msgspec.convert(raw, EgressSettings)
    except msgspec.ValidationError as error:
        said = str(error).replace("`$", "`egress")
        raise UsageError(f"{where}: egress: {said}; nothing is allowed until it is mended") from error
    _check(settings, where)
    hosts = {name: host for name, host in settings.hosts.items() if name not in settings.deny}
    return EgressSettings(hosts, settings.deny, settings.bytes_out)


def merged(weak: dict[str, object], strong: dict[str, object]) -> dict[str, object]:
    """Two layers, each valid, as one; what either denies stays denied."""
    low, high = read_egress(weak), read_egress(strong)
    size = low.bytes_out if high.bytes_out is None else high.bytes_out
    both = EgressSettings({**low.hosts, **high.hosts}, tuple(dict.fromkeys((*low.deny, *high.deny))), size)
    return msgspec.to_builtins(both)


def _check(settings: EgressSettings, where: str) -> None:
    for name in (*settings.hosts, *settings.deny):
        if host_name(name) != name:
            raise UsageError(
                f"{where}: egress: '{name[:80]}' is not a host: expected a lower-case name of letters, digits and "
                "hyphens (no pattern, port or URL), or an IPv4 address; nothing is allowed until it is mended"
            )
    for name, host in settings.hosts.items():
        if reason := _wrong(name, host):
            raise UsageError(f"{where}: egress.hosts.{name}: {reason}; nothing is allowed until it is mended")
    if settings.bytes_out is not None and settings.bytes_out < 0:
        raise UsageError(f"{where}: egress.bytesOut: expected a number of bytes, got {settings.bytes_out}")


def _wrong(name: str, host: Host) -> str:
    kind = host.kind
    if not host.ports or any(not 0 < port < 65536 for port in host.ports):
        return "ports: expected numbers from 1 to 65535"
    if is_address(name) and not host.private:
        return 'an address needs "private": true'
    own = {"mirror": "paths", "api": "allow clearance", "forge": "remote branch clearance", "tunnel": ""}[kind].split()
    for key in ("paths", "allow", "remote", "branch", "clearance"):
        if getattr(host, key) and key not in own:
            return f"{key} is not for class {kind}"
    if kind == "tunnel" and host.credential:
        return "credential is not for class tunnel: the proxy does not see its requests"
    if kind == "api" and not host.allow:
        return 'allow: class api needs a list of {"method", "path"}'
    for path in (*host.paths, *(each.path for each in host.allow), *([host.remote] if kind == "forge" else [])):
        if not path.startswith("/") or "?" in path or "#" in path or not path.isascii():
            return f"'{path[:80]}' is not a path: expected one that starts with /, without a query"
    if bad := next((each.method for each in host.allow if not (each.method.isascii() and each.method.isupper())), ""):
        return f"allow: '{bad[:20]}' is not a method: expected one such as GET"
    if kind == "forge" and (host.remote.endswith((".git", "/")) or "*" in host.remote):
        return "remote: expected the path of one repository such as /owner/name, without .git"
    if host.branch and not host.branch.isprintable():
        return "branch: expected a name"
    if credential := host.credential:
        token = credential.header.replace("-", "")
        if not credential.env or "=" in credential.env or not (token.isascii() and token.isalnum()):
            return "credential: expected the name of a variable and of a header"
        if "{}" not in credential.format or not (credential.format.isascii() and credential.format.isprintable()):
            return "credential: format: expected a text with {} where the secret goes"
    return ""


class Attached:
    """What the proxy asks and tells of the run, which is put together after it."""

    MOST_NOTICES = 20

    def __init__(self, folder: Path) -> None:
        """`folder` belongs to the session; one line for each request goes into `egress.jsonl` there."""
        self.run: Run | None = None
        self._file = folder / "egress.jsonl"
        self._told: set[str] = set()

    def label(self) -> Label:
        return self.run.state.label if self.run else Label("external", "project")

    def note(self, exchange: Exchange) -> None:
        """A refusal is told once; what can't be written down is let go, the request was judged already."""
        with contextlib.suppress(OSError, AssayError):
            line = msgspec.json.encode({"time": round(time.time(), 3), **msgspec.to_builtins(exchange)})
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.write(line + b"\n")
            new = exchange.status == 403 and exchange.reason not in self._told
            if new and self.run and len(self._told) < self.MOST_NOTICES:
                self._told.add(exchange.reason)
                self.run.record(Noticed(f"refused {exchange.method} to {exchange.host}: {exchange.reason}"))


def make_egress(
    settings: EgressSettings, environ: Mapping[str, str], folder: Path, attached: Attached
) -> Egress | None:
    """The proxy for one session, or None when no host is allowed. `folder` is a directory of ours. Raises `UsageError`
    when TLS would have to end in the proxy and what that needs is not installed."""
    if not settings.hosts:
        return None
    from assay.policy.egress import BUDGET, EgressPolicy
    from assay.policy.tripwire import Tripwire, secret_values
    from assay.workspace.sandbox.egress.proxy import Egress

    if missing := cannot_see(settings.hosts):
        raise UsageError(f"egress.hosts.{missing}")
    named = {host.credential.env for host in settings.hosts.values() if host.credential}
    values = {name: environ[name] for name in named if environ.get(name)}
    for name, value in values.items():
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"egress: the variable {name} holds what can't be sent in a header")
    budget = BUDGET if settings.bytes_out is None else settings.bytes_out
    policy = EgressPolicy(settings.hosts, attached.label, values, budget)
    watch = Tripwire(secret_values(environ, named))
    return Egress(settings.hosts, policy, watch, folder, attached.note)


def cannot_see(hosts: Mapping[str, Host]) -> str:
    """The first host whose class can't be kept without the library for certificates, and what to do; or empty."""
    from assay.workspace.sandbox.egress.authority import can_terminate

    if can_terminate():
        return ""
    wanting = next((name for name, host in hosts.items() if host.kind != "tunnel" and set(host.ports) != {80}), "")
    if not wanting:
        return ""
    return (
        f"{wanting}: class {hosts[wanting].kind} over TLS needs certificates: pip install 'assay[egress]', "
        "or use class tunnel"
    )


def described(name: str, host: Host) -> str:
    """One host for a person: its class and what it may be asked."""
    narrowed = {
        "mirror": ", ".join(host.paths) or "any path",
        "api": ", ".join(f"{each.method} {each.path}" for each in host.allow),
        "forge": f"{host.remote}, push to {host.branch or 'no branch'}",
        "tunnel": "anything over TLS",
    }[host.kind]
    more = [*(["private"] if host.private else []), *(["cleared for project data"] if host.clearance else [])]
    if host.credential:
        more.append(f"credential {host.credential.env}")
    return f"{name}: {host.kind} ({'; '.join([narrowed, *more])})"
