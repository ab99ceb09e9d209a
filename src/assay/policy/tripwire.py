"""A tripwire for secrets whose values are known: in requests on their way out, in what is written down.

It is the last of several layers, and no boundary: who can compute can disguise. Commands don't hold these values at
all; this catches the ways in which one might have come to them, and mistakes.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus, unquote_to_bytes

SHORTEST = 12
"""Characters: shorter values turn up in innocent text."""

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH(?!OR)", re.IGNORECASE)
_NOT_SECRET = re.compile(r"(?:PATH|FILE|DIR|SOCK|HOME|URL)$", re.IGNORECASE)
_SPACE = b"\r\n\t "


def known_secrets(environ: Mapping[str, str], named: Iterable[str] = ()) -> dict[str, str]:
    """The variables whose names look like a secret's, and those `named`, with their values; only long enough ones."""
    wanted = set(named)
    return {
        name: value
        for name, value in sorted(environ.items())
        if len(value) >= SHORTEST and (name in wanted or (_SECRET_NAME.search(name) and not _NOT_SECRET.search(name)))
    }


def secret_values(environ: Mapping[str, str], named: Iterable[str] = ()) -> list[str]:
    """The values of `known_secrets`, each once."""
    return sorted(set(known_secrets(environ, named).values()))


class Tripwire:
    """Implements `core.egress.Watch`: each value as it is, in base64 at every alignment (also broken into lines), in
    hex, and encoded for URLs."""

    def __init__(self, values: Iterable[str]) -> None:
        exact: set[bytes] = set()
        folded: set[bytes] = set()
        for value in values:
            raw = value.encode("utf-8", "surrogateescape")
            if len(value) < SHORTEST:
                continue
            exact |= {raw, *in_base64(raw)}
            folded |= {raw.hex().encode(), b"".join(b"%%%02x" % byte for byte in raw)}
            folded |= {form.lower().encode() for form in (quote(raw), quote(raw, safe=""), quote_plus(raw))}
        self._exact, self._folded = sorted(exact), sorted(folded)
        longest = max(map(len, (*exact, *folded)), default=0)
        # A line break every few characters makes the same secret longer.
        self.window = longest + longest // 8 + 8 if longest else 0

    def found(self, data: bytes) -> bool:
        """True when `data` holds one of the values in one of the forms."""
        if not self._exact:
            return False
        forms = {data, data.translate(None, _SPACE)}
        if b"%" in data:
            forms.add(unquote_to_bytes(data))
        for form in forms:
            folded = form.lower()
            if any(each in form for each in self._exact) or any(each in folded for each in self._folded):
                return True
        return False

    def found_in_text(self, text: str) -> bool:
        return self.found(text.encode("utf-8", "surrogateescape"))


def in_base64(raw: bytes) -> set[bytes]:
    """The characters of base64 that `raw` alone decides, wherever in a group of three bytes it starts."""
    found: set[bytes] = set()
    for before in range(3):
        data = b"\0" * before + raw
        first, last = -(-before * 8 // 6), len(data) * 8 // 6
        found |= {encode(data)[first:last] for encode in (b64encode, urlsafe_b64encode)}
    return found
