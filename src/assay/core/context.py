"""The port for whatever puts text before a model: bounded, owned, marked."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from assay.core.policy import WORKSPACE, Label


class Fragment(Struct, frozen=True):
    """A bounded piece of context with an owner."""

    owner: str
    """Who put it there: environment, instructions, skills, memory, ..."""
    text: str
    source: str = ""
    """A file or other origin, for the person who asks why this is here."""
    cut: bool = False
    """True when a cap shortened it; the text then says so itself."""
    label: Label = WORKSPACE


class FragmentSource(Protocol):
    async def fragments(self) -> list[Fragment]: ...
