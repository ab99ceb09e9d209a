"""The port to the web: one page, asked for by GET and nothing else."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from assay.core.errors import AssayError


class WebError(AssayError):
    """No page: an address that may not be reached, a host that does not answer, an answer that makes no sense."""


class Page(Struct, frozen=True):
    url: str
    """Where it lies, after redirects within the host."""
    status: int
    media_type: str
    """Lower case, without parameters; empty when the host did not say."""
    data: bytes
    charset: str = ""
    redirect: str = ""
    """Where the host sends whoever asks, when that is another host: nothing was asked there."""
    cut: bool = False
    """There is more than was taken."""


class Web(Protocol):
    """Contract: sends nothing but the URL and fixed headers; refuses private addresses unless the user's settings name
    the host as private; verifies certificates; is bounded in time. What comes back could be by anyone."""

    async def get(self, url: str, limit: int) -> Page:
        """At most `limit` bytes of the page at `url`. Raises `WebError` in one line."""
        ...


def host_of(url: str) -> str:
    """The host that `url` names, in the form that rules about hosts know. Raises `WebError` for what is no http(s) URL
    with a plain host name."""
    from urllib.parse import urlsplit

    from assay.core.egress import host_name

    try:
        parts = urlsplit(url.strip())
        host, port = host_name(parts.hostname or ""), parts.port
    except ValueError:
        host, port, parts = None, None, None
    if parts is None or parts.scheme not in ("http", "https") or host is None or port == 0:
        raise WebError(f"{url[:200]!r} is not a URL that can be fetched: expected https://host/path")
    if "@" in parts.netloc:
        raise WebError(f"https://{host}: a URL with a user or password in it is not fetched")
    return host
