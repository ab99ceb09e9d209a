"""What the harness hears from tools and files, without the secrets that it knows of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

import msgspec
from msgspec import Struct

from assay.core.events import (
    AttemptFinished,
    CallFinished,
    CheckFinished,
    ContextAdded,
    Event,
    EvidenceRecorded,
    Noticed,
    TaskEnded,
)
from assay.core.messages import Json
from assay.core.policy import OPERATOR, Mask

T = TypeVar("T", bound=Struct)

CHUNK = 1 << 17
"""Characters of a file that are looked at together."""
OVERLAP = 1 << 14
"""Of these the next look sees again: no form of a secret is longer."""
_HEARD = (CallFinished, CheckFinished, AttemptFinished, EvidenceRecorded, Noticed, TaskEnded)


def heard(mask: Mask, event: Event) -> Event:
    """`event` masked, if its words come from outside. What the user says, and how the model replies to that, is left
    as it was said."""
    outside = isinstance(event, _HEARD) or (isinstance(event, ContextAdded) and event.label != OPERATOR)
    return masked(mask, event) if outside else event


def masked(mask: Mask, value: T) -> T:
    """`value` with all its texts masked; an image that holds a secret becomes text."""
    plain = cast("Json", msgspec.to_builtins(value))
    clean = _clean(mask, plain)
    return value if clean == plain else msgspec.convert(clean, type(value))


def _clean(mask: Mask, value: Json) -> Json:
    if isinstance(value, str):
        return mask.text(value)
    if isinstance(value, (list, tuple)):
        items = [_clean(mask, item) for item in cast("list[Json]", value)]
        return tuple(items) if isinstance(value, tuple) else items
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Json]", value)
    clean = {mask.text(key): _clean(mask, item) for key, item in fields.items()}
    if fields.get("type") == "image" and clean != fields:
        return {"type": "text", "text": "[image left out: it holds a secret]"}
    return clean


def mask_file(mask: Mask, path: str) -> None:
    """Rewrite a file of ours if it holds a secret. One that can't be rewritten goes."""
    with contextlib.suppress(OSError):
        if all(same for _, same in _pieces(mask, path)):
            return
    new = Path(f"{path}.masked")
    try:
        with new.open("x", encoding="utf-8", errors="surrogateescape", newline="") as out:
            new.chmod(0o600)
            out.writelines(piece for piece, _ in _pieces(mask, path))
        new.replace(path)
    except OSError:
        Path(path).unlink(missing_ok=True)
        new.unlink(missing_ok=True)


def _pieces(mask: Mask, path: str) -> Iterator[tuple[str, bool]]:
    """The masked text of a file, and whether each piece was looked at without a find."""
    with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rest = ""
        while piece := file.read(CHUNK):
            text = rest + piece
            clean = mask.text(text)
            yield clean[:-OVERLAP], clean == text
            rest = clean[-OVERLAP:]
        yield rest, True
