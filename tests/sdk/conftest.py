"""Where programs are tried: a project, a home, and a scripted model."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from assay import Message, Options, ResultMessage, query
from assay.testing.server import Reply, SeenRequest, serve_in_thread

Script = Sequence[Reply] | Callable[[SeenRequest], Reply]


class Place:
    """A folder with a project; `options` point at a server that plays a script."""

    def __init__(self, folder: Path) -> None:
        self.project, self.home = folder / "project", folder / "home"
        self.project.mkdir()
        self.home.mkdir()
        self.stack = contextlib.ExitStack()

    def options(self, script: Script, **fields: object) -> Options:
        self.server = self.stack.enter_context(serve_in_thread(script))
        return self.again(**fields)

    def again(self, **fields: object) -> Options:
        """Options for the same server."""
        given = {"model": "any", "base_url": f"{self.server.url}/v1", "directory": self.project, **fields}
        return Options(env={"ASSAY_HOME": str(self.home)}, **given)  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    found = Place(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(found.home))
    with found.stack:
        yield found


async def all_of(messages: AsyncIterator[Message]) -> list[Message]:
    return [message async for message in messages]


async def result_of(prompt: str, options: Options) -> ResultMessage:
    last = (await all_of(query(prompt=prompt, options=options)))[-1]
    assert isinstance(last, ResultMessage)
    return last
