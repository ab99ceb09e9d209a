"""How often attempts of a model at tasks of a shape have stood up: counts in a small file, for `belief`.

What counts as right here is what the done gate said in the end, which is as near to the truth as a machine of its own
gets; so a prior is never more than where belief starts. The file's place is the caller's to choose.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

LASTING = 60.0
"""Counts together at most; older ones fade, because models and tasks change."""


class Prior(Struct, frozen=True):
    """A Beta distribution: how many were right and wrong, start values included."""

    right: float
    wrong: float

    @property
    def mean(self) -> float:
        return self.right / (self.right + self.wrong)

    def after(self, right: bool) -> Prior:
        """With one more seen."""
        fade = min(1.0, LASTING / (self.right + self.wrong + 1))
        return Prior(self.right * fade + right, self.wrong * fade + (not right))


STRONG = Prior(3.0, 2.0)
"""Where a model that can drive tools starts."""
TINY = Prior(1.5, 3.5)
"""Where a model that fills slots starts."""
FOUND = Prior(8.5, 1.5)
"""Where a green change starts that trying changes has found, of those that come first: fitted (see `belief`)."""

Priors = Mapping[str, Prior]


def prior_of(priors: Priors, model: str, shape: str, tiny: bool = False) -> Prior:
    """`model`: PROVIDER/NAME, "" for none. `shape`: a word for tasks of a kind, such as a strategy's name."""
    return priors.get(_key(model, shape), TINY if tiny else STRONG)


def learned(priors: Priors, model: str, shape: str, right: bool, tiny: bool = False) -> dict[str, Prior]:
    """`priors` with one more attempt seen to its end."""
    return {**priors, _key(model, shape): prior_of(priors, model, shape, tiny).after(right)}


def read(path: Path) -> dict[str, Prior]:
    """What `write` left there; nothing when there is no such file, or none that can be read."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Prior])
    except (OSError, msgspec.DecodeError):
        return {}
    return {key: prior for key, prior in found.items() if prior.right > 0 and prior.wrong > 0}


def write(path: Path, priors: Priors) -> None:
    """Replace the file in one step, so that a reader sees all or nothing. Raises `OSError`."""
    import os
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(dict(priors)))
    Path(name).replace(path)


def _key(model: str, shape: str) -> str:
    return f"{shape} {model}"
