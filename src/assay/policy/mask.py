"""Known secrets are masked in what the model gets to see and in what is written down.

Like the tripwire it goes by, this is no boundary: a command that prints a secret backwards is not noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from assay.policy.tripwire import Tripwire, in_base64

_SPACE = r"(?:[\r\n\t ]|%0[9adAD]|%20)*"


class SecretMask:
    """Implements `core.policy.Mask` for secrets by name: each one in the forms that `Tripwire` knows."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._all = Tripwire(secrets.values())
        self._each = [(name, value, Tripwire([value])) for name, value in secrets.items()]
        self._patterns: dict[str, re.Pattern[str]] = {}

    def text(self, text: str) -> str:
        """`text` with each secret as `[secret NAME]`; the same object when there is none in it."""
        if not self._all.found_in_text(text):
            return text
        for name, value, tripwire in self._each:
            if tripwire.found_in_text(text):
                pattern = self._patterns.get(name) or self._patterns.setdefault(name, _pattern(value))
                text = pattern.sub(lambda _, name=name: f"[secret {name}]", text)
                if tripwire.found_in_text(text):  # in forms on top of each other
                    text = f"[left out: it holds secret {name}]"
        return text


def _pattern(value: str) -> re.Pattern[str]:
    raw = value.encode("utf-8", "surrogateescape")
    encoded = sorted({form.decode() for form in in_base64(raw)})
    forms = [f"(?i:{_spread(value)}|{_spread(raw.hex())})", *map(_spread, encoded)]
    return re.compile("|".join(forms))


def _spread(form: str) -> str:
    """A pattern for `form` with white space anywhere in it and any of its characters encoded for URLs."""
    return _SPACE.join(_char(char) for char in form)


def _char(char: str) -> str:
    if char.isspace():
        return r"\+?"
    quoted = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
    return f"(?:{re.escape(char)}|(?i:{quoted}))"
