"""What a program's prompt stands for, whichever way the program drives us: commands, skills, files that come along."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

from msgspec import Struct

from assay.app.library import Expansion
from assay.app.messages.announce import announce
from assay.app.task import Task
from assay.core.messages import Image, Json, Text


class Heard(Struct, frozen=True):
    parts: tuple[Text | Image, ...]
    """What the turn begins with."""
    said: Expansion = Expansion("")
    result: dict[str, Json] | None = None
    """The result message, when it was answered without a model; it has been emitted, and there is no turn."""

    def during(self, task: Task) -> AbstractContextManager[None]:
        """Around the turn."""
        return task.library.during(self.said) if task.library else contextlib.nullcontext()


async def hear(
    task: Task, parts: tuple[Text | Image, ...], origin: dict[str, Json] | None = None, *, verbatim: bool = False
) -> Heard:
    """`parts`, as the library of `task` understands them. `verbatim`: a program composed them, so that no word of them
    is a command."""
    first = parts[0] if parts else None
    text = first.text.strip() if isinstance(first, Text) and not verbatim else ""
    if not text or task.library is None:
        return Heard(parts)
    before = task.session
    said = await task.library.expand(text)
    if said.answer is None:
        return Heard((Text(said.text), *parts[1:]) if said.text != text else parts, said)
    cleared = task.session != before
    if cleared:
        frame: dict[str, Json] = {"new_conversation_id": task.session, "trigger": "clear"}
        task.messages.emit("conversation_reset", frame, session=before)
    announce(task)
    if not cleared:
        task.messages.say(said.answer)
    answer = "" if cleared else said.answer
    return Heard(parts, said, task.messages.local(answer, f"/{said.command}", origin or {}))
