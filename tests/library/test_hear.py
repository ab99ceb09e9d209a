"""What a prompt stands for, whoever drives: only a person's own words, alone in a message, are commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.app.hear import hear
from assay.core.messages import Text

from .test_library_object import opened, project

__all__ = ["project"]


@pytest.mark.parametrize(
    ("text", "verbatim", "command"),
    [(" /cost ", False, True), ("/cost", True, False), ("cost", False, False), ("/nothing", False, False)],
)
async def test_a_persons_words_may_be_a_command(project: Path, text: str, verbatim: bool, command: bool) -> None:
    async with opened(project) as task:
        heard = await hear(task, (Text(text),), verbatim=verbatim)
        assert (heard.result is not None) == command
        assert command or heard.parts == (Text(text),)


async def test_what_follows_a_command_comes_along(project: Path) -> None:
    async with opened(project) as task:
        heard = await hear(task, (Text("/plain a b"), Text("more")))
        assert heard.result is None
        assert heard.parts == (Text("/plain a b"), Text("more"))
        assert "The words of a b." in heard.said.context[0].text


async def test_clearing_begins_a_session(project: Path) -> None:
    async with opened(project) as task:
        frames: list[dict] = []
        task.messages.subscribe(frames.append)
        before = task.session
        heard = await hear(task, (Text("/clear"),))
        assert heard.result
        assert task.session != before
        reset = next(frame for frame in frames if frame["type"] == "conversation_reset")
        assert (reset["session_id"], reset["new_conversation_id"]) == (before, task.session)
