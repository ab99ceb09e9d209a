"""Which requests may leave, by the class that the user gave a host and by the label of the session. No I/O.

Three things together lose data: reading what anyone may have written, knowing what is private, and a way out. A session
that has the first two keeps only ways out that are narrow (`mirror`) or that the user cleared for it by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from assay.core.egress import Host, Outbound, Passage, is_address
from assay.core.policy import EXTERNAL, Label

BUDGET = 65_536
"""Bytes that may go out to hosts of class `mirror` in one session, unless the user says otherwise."""
LONGEST_URL = 256

_PLAIN_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_DECEPTIVE = re.compile(r"%(?:2e|5c|0[0-9a-f]|1[0-9a-f]|7f|25)|(?:^|/)\.{1,2}(?:/|$)", re.IGNORECASE)


class EgressPolicy:
    """Implements `core.egress.Permit` for one session.

    `label` tells the session's label at the moment of asking; `values` are the credentials' secrets by name of their
    variable; `budget` is in bytes and lasts for the life of this object.
    """

    def __init__(
        self, hosts: Mapping[str, Host], label: Callable[[], Label], values: Mapping[str, str], budget: int = BUDGET
    ) -> None:
        self._hosts = dict(hosts)
        self._label = label
        self._values = dict(values)
        self._budget = budget
        self.spent = 0

    def __call__(self, asked: Outbound) -> Passage:
        host = self._hosts.get(asked.host)
        if host is None:
            return Passage(reason=f"{asked.host} is not in egress.hosts of the user's settings")
        label = self._label()
        if asked.heard - {asked.host}:
            # What another host said is at work in this command, though the model has not read it yet.
            label = label.join(EXTERNAL)
        if reason := judge(host, asked, label):
            return Passage(reason=f"egress.hosts {asked.host}: {reason}")
        if asked.method == "CONNECT":
            return Passage(True, tunnel=host.kind == "tunnel", private=host.private)
        if host.kind == "mirror":
            if self.spent + asked.size > self._budget:
                return Passage(reason=f"egress.bytesOut: the {self._budget:,} bytes of this session are spent")
            self.spent += asked.size
        credential = None
        if wanted := host.credential:
            value = self._values.get(wanted.env, "")
            if not value:
                return Passage(reason=f"egress.hosts {asked.host}: credential: the variable {wanted.env} is not set")
            credential = (wanted.header, wanted.format.replace("{}", value))
        push = f"refs/heads/{host.branch}" if host.kind == "forge" and _pushes(asked) else ""
        return Passage(True, private=host.private, narrow=host.kind == "mirror", credential=credential, push=push)


def judge(host: Host, asked: Outbound, label: Label) -> str:
    """Why `asked` may not go to `host` from a session with `label`, or empty when it may."""
    if asked.port not in host.ports:
        return f"port {asked.port} is not in its ports"
    if is_address(asked.host) and not host.private:
        return "an address needs private: true"
    if reason := _cleared(host, label):
        return reason
    if asked.method == "CONNECT":
        return ""
    if host.kind == "tunnel":
        return "class tunnel passes CONNECT only"
    if asked.scheme == "http" and host.credential and not host.private:
        return "its credential is not sent without TLS"
    path, question, _ = asked.target.partition("?")
    if not _PLAIN_PATH.fullmatch(path) or _DECEPTIVE.search(path):
        return "the path is not in its plain form"
    if host.kind == "mirror":
        return _mirror(host, asked, path, bool(question))
    if host.kind == "forge":
        return _forge(host, asked)
    if "%2f" in path.lower() or "//" in path:
        return "the path is not in its plain form"
    allowed = any(each.method == asked.method and path_fits(each.path, path) for each in host.allow)
    return "" if allowed else f"its allow list has no {asked.method} for this path"


def path_fits(pattern: str, path: str) -> bool:
    """`*` stands for anything within a segment, `**` for anything at all; nothing else is special."""
    parts = re.split(r"(\*\*?)", pattern)
    expression = "".join({"*": "[^/]*", "**": ".*"}.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(expression, path, re.DOTALL) is not None


def _cleared(host: Host, label: Label) -> str:
    if host.kind == "mirror" or label.integrity != "external" or label.secrecy == "public":
        return ""
    if host.kind != "tunnel" and host.clearance == "project" and label.secrecy == "project":
        return ""
    wanted = "" if host.kind == "tunnel" or label.secrecy == "secret" else ' without clearance: "project"'
    return f"this session has read outside text and {label.secrecy} data; class {host.kind} is closed to it{wanted}"


def _mirror(host: Host, asked: Outbound, path: str, question: bool) -> str:
    if asked.method not in ("GET", "HEAD"):
        return "class mirror takes GET and HEAD only"
    if asked.body or question:
        return f"class mirror takes no {'body' if asked.body else 'query'}"
    length = len(f"{asked.scheme}://{asked.host}:{asked.port}{path}")
    if length > LONGEST_URL:
        return f"class mirror takes URLs of at most {LONGEST_URL} bytes"
    if host.paths and not any(path_fits(pattern, path) for pattern in host.paths):
        return "no pattern of its paths matches"
    return ""


def _forge(host: Host, asked: Outbound) -> str:
    """Git's smart HTTP protocol, for one repository: fetching, and pushing if a branch is named."""
    services = ["upload"] + (["receive"] if host.branch else [])
    for remote in (host.remote, f"{host.remote}.git"):
        for service in services:
            if (asked.method, asked.target) == ("GET", f"{remote}/info/refs?service=git-{service}-pack"):
                return ""
            if (asked.method, asked.target) == ("POST", f"{remote}/git-{service}-pack"):
                return ""
    if "git-receive-pack" in asked.target and not host.branch:
        return "no branch is named that may be pushed"
    return f"class forge speaks git over HTTP with {host.remote} only"


def _pushes(asked: Outbound) -> bool:
    return asked.method == "POST" and asked.target.endswith("/git-receive-pack")
