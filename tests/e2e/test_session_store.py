"""Hosts that keep sessions themselves: what we mirror is what a store needs, and a session goes on from it alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from assay.sessions.claude.names import UUID
from assay.sessions.claude.reader import read_lines
from assay.testing.server import Call, Reply

from .command import Place
from .conftest import Serve

claude = pytest.importorskip("claude_agent_sdk", reason="the public client is not installed: scripts/setup.sh test")
TALK = [
    Reply("I look.", calls=(Call("Bash", {"command": "echo seen"}),)),
    Reply("One."),
    Reply("Two."),
    Reply("Three."),
]


class Folder(claude.SessionStore):
    """A store that keeps sessions as transcripts in the usual layout: lines as they come, read by our reader."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, key: dict) -> Path:
        base = self._root / key["project_key"] / key["session_id"]
        return (base / key["subpath"] if key.get("subpath") else base).with_suffix(".jsonl")

    async def append(self, key: dict, entries: list) -> None:
        path = self._path(key)
        if entries:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.writelines(f"{json.dumps(entry)}\n" for entry in entries)
            os.utime(path, ns=(time.time_ns(), time.time_ns()))

    async def load(self, key: dict) -> list | None:
        return list(read_lines(self._path(key))) or None

    async def list_sessions(self, project_key: str) -> list:
        found = (self._root / project_key).glob("*.jsonl")
        return [{"session_id": path.stem, "mtime": int(path.stat().st_mtime * 1000)} for path in found]

    async def list_subkeys(self, key: dict) -> list:
        base = self._root / key["project_key"] / key["session_id"]
        return [str(path.relative_to(base).with_suffix("")) for path in base.rglob("*.jsonl")]

    async def delete(self, key: dict) -> None:
        self._path(key).unlink(missing_ok=True)
        if not key.get("subpath"):
            shutil.rmtree(self._path(key).with_suffix(""), ignore_errors=True)


async def test_the_conformance_suite_of_stores(tmp_path: Path) -> None:
    from claude_agent_sdk.testing import run_session_store_conformance

    made = iter(range(1000))
    await run_session_store_conformance(lambda: Folder(tmp_path / str(next(made))))
    await run_session_store_conformance(claude.InMemorySessionStore)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "memory"])
async def test_a_session_lives_in_a_store_alone(place: Place, serve: Serve, kind: str) -> None:
    server = serve(TALK)
    command = place.root / "bin/claude"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{place.program}" "$@"\n')
    command.chmod(0o755)
    store = Folder(place.root / "store") if kind == "folder" else claude.InMemorySessionStore()
    problems: list[object] = []

    async def ask(prompt: str, home: str, **more: object) -> str:
        """One turn on a machine of its own; returns the session's id."""
        session = ""
        base = place.root / home
        base.mkdir(exist_ok=True)
        own = {"HOME": str(base), "CLAUDE_CONFIG_DIR": str(base / "config")}
        keys = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": server.url, "TMPDIR": str(base)}
        options = claude.ClaudeAgentOptions(
            cli_path=str(command),
            cwd=str(place.project),
            session_store=store,
            env={**place.variables, **keys, **own},
            **more,
        )
        async for message in claude.query(prompt=prompt, options=options):
            if isinstance(message, claude.SystemMessage) and message.subtype == "mirror_error":
                problems.append(message)
            if isinstance(message, claude.ResultMessage):
                assert not message.is_error, message
                session = message.session_id
                # What the store holds when the result comes is all there is.
                kept = await claude.get_session_messages_from_store(store, session, str(place.project))
                assert kept[-1].message["content"][0]["text"] == message.result
        assert not (base / "config/projects").exists() or UUID.fullmatch(session)
        return session

    first = await ask("First", "one")
    assert await ask("Second", "two", resume=first) == first
    assert await ask("Third", "three", continue_conversation=True) == first
    said = await claude.get_session_messages_from_store(store, first, str(place.project))
    prompts = [each.message["content"] for each in said if isinstance(each.message["content"], str)]
    assert prompts == ["First", "Second", "Third"] and len({each.uuid for each in said}) == len(said) == 9
    (listed,) = await claude.list_sessions_from_store(store, str(place.project))
    assert (listed.session_id, listed.summary) == (first, "Third")
    texts = [turn.text for turn in server.requests[-1].history if turn.role == "assistant" and turn.text]
    assert texts == ["I look.", "One.", "Two."] and not problems
