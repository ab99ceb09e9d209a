"""The port of egress: which hosts may be reached, a request that wants out, and the word on it. No I/O.

Host names are judged by their letters before anything else sees them: two parsers that read a name differently are how
filters on names were fooled. Syntax: RFC 952 and RFC 1123 (letters, digits, hyphen), without the trailing dot.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

HostClass = Literal["mirror", "api", "forge", "tunnel"]

# Compiled when first used: settings are read at every start, and few name a host.
_NAME = r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NUMBER = r"(?:\d+|0x[0-9a-f]*)"
_ADDRESS = r"(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}"
_PORT = r"[1-9][0-9]{0,4}"


class Operation(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be asked of a host of class `api`."""

    method: str
    path: str
    """`*` stands for anything within a segment, `**` for anything."""


class Credential(Struct, frozen=True, forbid_unknown_fields=True):
    """A header that the proxy adds; commands never hold what is in it."""

    env: str
    """Name of the variable, in the environment of the harness, that holds the secret."""
    header: str = "Authorization"
    format: str = "Bearer {}"


class Host(Struct, frozen=True, rename={"kind": "class"}, forbid_unknown_fields=True):
    """What the user allows of one host, outside the repository."""

    kind: HostClass
    ports: tuple[int, ...] = (443,)
    private: bool = False
    """Its address may be a private one, or of this very machine."""
    paths: tuple[str, ...] = ()
    """For a `mirror`: patterns, one of which the path must match; empty for any path."""
    allow: tuple[Operation, ...] = ()
    credential: Credential | None = None
    clearance: Literal["", "project"] = ""
    """`project`: also when the session has read what anyone may have written."""
    remote: str = ""
    """For a `forge`: the path of the repository, `/owner/name`."""
    branch: str = ""
    """For a `forge`: the one branch that may be pushed; empty for none."""


class Outbound(Struct, frozen=True):
    """A request that wants out. Its host passed `host_name`; nothing was resolved or sent yet."""

    method: str
    scheme: Literal["http", "https"]
    host: str
    port: int
    target: str = ""
    """Path and query as they would be sent; empty with method CONNECT."""
    body: bool = False
    size: int = 0
    """Bytes that whoever asks has chosen: target and headers."""
    heard: frozenset[str] = frozenset()
    """Hosts that have answered the same command."""


class Passage(Struct, frozen=True):
    """The word on an `Outbound`. Refused unless said otherwise."""

    allowed: bool = False
    reason: str = ""
    """One line that names the key of the settings."""
    tunnel: bool = False
    """CONNECT is relayed as it is; otherwise the proxy is the server and judges each request within."""
    private: bool = False
    narrow: bool = False
    """Only the headers that a download needs are passed on."""
    credential: tuple[str, str] | None = None
    """A header to add, name and value; never shown or logged."""
    push: str = ""
    """The one ref that this push may change."""


Permit = Callable[[Outbound], Passage]


class Watch(Protocol):
    """Knows secrets, and whether bytes hold one of them."""

    @property
    def window(self) -> int:
        """Bytes of a stream that have to be looked at together; 0 when there is nothing to look for."""
        ...

    def found(self, data: bytes) -> bool: ...


class Exchange(Struct, frozen=True):
    """One request and what came of it, for the log; holds no content."""

    method: str
    host: str
    port: int
    path: str
    """The first twelve hex digits of the path's SHA-256."""
    sent: int
    """Bytes of bodies and heads."""
    received: int
    status: int
    reason: str = ""
    """Why it was refused or failed."""


def host_name(text: str) -> str | None:
    """The lower-case form of a host name, or of an IPv4 address in its one usual notation; None for all else: other
    notations of addresses, IPv6, internationalised names, trailing dots, user information, ports."""
    if not text.isascii():
        return None
    name = text.lower()
    if re.fullmatch(_ADDRESS, name):
        return name if all(int(part) < 256 for part in name.split(".")) else None
    labels = name.split(".")
    reserved = re.fullmatch(_NUMBER, labels[-1]) or any(label[2:4] == "--" for label in labels)
    return name if re.fullmatch(_NAME, name) and not reserved else None


def is_address(name: str) -> bool:
    return re.fullmatch(_ADDRESS, name) is not None


def host_and_port(authority: str, default: int | None) -> tuple[str, int] | None:
    """`host:port` taken apart, or None when either part is not what it should be; without a port, `default`."""
    text, colon, number = authority.partition(":")
    name = host_name(text)
    if name is None or (colon and not re.fullmatch(_PORT, number)) or (not colon and default is None):
        return None
    port = int(number) if colon else default or 0
    return (name, port) if port < 65536 else None
