"""What a host says to the model, and the queue in which it waits."""

from __future__ import annotations

from typing import cast

from msgspec import Struct

from assay.core.errors import UsageError
from assay.core.messages import Image, Json, Text
from assay.core.policy import EXTERNAL, Label
from assay.surfaces.host.lines import Frame

MOST_WAITING = 10_000
_PRIORITIES = {"now": 0, "next": 1, "later": 2}
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class Prompt(Struct, frozen=True):
    parts: tuple[Text | Image, ...]
    uuid: str = ""
    origin: dict[str, Json] = {}
    verbatim: bool = False
    """No slash commands in it."""
    asks: bool = True
    """False: it is only put before the model, with the next turn."""
    priority: int = 1
    label: Label | None = None


def read_prompt(message: Frame) -> Prompt:
    """The prompt in a `user` message. Raises `UsageError` for what is none.

    Words that come from no person (`origin.kind` is not `human`) are text of outsiders: they are no slash commands, and
    what the model does after reading them is judged accordingly.
    """
    inner = message.get("message")
    content: Json = cast(Frame, inner).get("content") if isinstance(inner, dict) else None
    if isinstance(content, str):
        parts: tuple[Text | Image, ...] = (Text(_plain(content)),)
    elif isinstance(content, list):
        parts = tuple(part for each in cast("list[Json]", content) if (part := _part(each)) is not None)
    else:
        raise UsageError("a user message needs message.content: text, or a list of blocks")
    if not any(isinstance(part, Image) or part.text.strip() for part in parts):
        raise UsageError("the prompt is empty")
    origin = message.get("origin")
    where = cast(Frame, origin) if isinstance(origin, dict) else {}
    person = where.get("kind", "human") == "human" and message.get("isSynthetic") is not True
    identity = message.get("uuid")
    return Prompt(
        parts,
        identity if isinstance(identity, str) and len(identity) <= 200 else "",
        where,
        message.get("client_composed") is True or not person,
        message.get("shouldQuery") is not False,
        _PRIORITIES.get(str(message.get("priority")), 1),
        None if person else EXTERNAL,
    )


def _part(block: Json) -> Text | Image | None:
    if not isinstance(block, dict):
        return None
    table = cast(Frame, block)
    match table.get("type"):
        case "text" if isinstance(text := table.get("text"), str):
            return Text(_plain(text))
        case "image" if isinstance(source := table.get("source"), dict):
            told = cast(Frame, source)
            kind, data = told.get("media_type"), told.get("data")
            if kind in _IMAGES and isinstance(data, str):
                return Image(str(kind), data)
            return Text("[an image in a form that can't be read]")
        case kind:
            return Text(f"[a block of type {str(kind)[:40]}, which can't be read here]")


def _plain(text: str) -> str:
    """`text` without halves of surrogate pairs, which no provider takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Queue:
    """Prompts that wait: by priority, then in the order in which they came."""

    def __init__(self) -> None:
        self._prompts: list[Prompt] = []

    def __len__(self) -> int:
        return len(self._prompts)

    def put(self, prompt: Prompt) -> None:
        """Raises `UsageError` when too many wait."""
        if len(self._prompts) >= MOST_WAITING:
            raise UsageError(f"more than {MOST_WAITING} messages wait for their turn")
        at = next((i for i, each in enumerate(self._prompts) if each.priority > prompt.priority), len(self._prompts))
        self._prompts.insert(at, prompt)

    def take(self) -> Prompt:
        return self._prompts.pop(0)

    def withdraw(self, uuid: str) -> bool:
        """Drop the prompt with that uuid; False when it does not wait."""
        kept = [each for each in self._prompts if each.uuid != uuid]
        found = len(kept) < len(self._prompts)
        self._prompts = kept
        return found

    @property
    def uuids(self) -> list[str]:
        return [each.uuid for each in self._prompts if each.uuid]
