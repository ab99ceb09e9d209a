"""Where a model is reached, and with what right."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from assay.models.http import Timeouts

HeaderStyle = Literal["x-api-key", "bearer", "none"]


class Endpoint(Struct, frozen=True):
    """A server: base URL, key and manners. Its `repr` never shows the key."""

    base_url: str
    provider: str = ""
    key: str = ""
    key_variable: str = ""
    """The environment variable that the key came from or should come from, for messages."""
    style: HeaderStyle = "bearer"
    version: str = ""
    """`anthropic-version`, pinned here so that a server's default can't change what requests mean."""
    timeouts: Timeouts = Timeouts()
    extra: tuple[tuple[str, str], ...] = ()
    """Headers that the user adds."""

    def __repr__(self) -> str:
        return f"Endpoint({self.provider} {self.base_url}, key {'set' if self.key else 'absent'})"

    def headers(self) -> dict[str, str]:
        fields = {"content-type": "application/json", "accept": "text/event-stream", "user-agent": "assay"}
        if self.version:
            fields["anthropic-version"] = self.version
        if self.key and self.style == "bearer":
            fields["authorization"] = f"Bearer {self.key}"
        elif self.key and self.style == "x-api-key":
            fields["x-api-key"] = self.key
        return fields | dict(self.extra)

    def at(self, base_url: str, key: str = "") -> Endpoint:
        """The same manners at another address: for a server that was just started on a free port."""
        return replace(self, base_url=base_url, key=key)

    def scrub(self, text: str) -> str:
        """`text` without the key."""
        return text.replace(self.key, "***") if len(self.key) >= 4 else text
