"""Reading transcripts, whoever wrote them: their lines, and the chain of lines that is the conversation now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from assay.core.messages import Json
from assay.sessions.claude.lines import Line

_LONGEST = 64_000_000
"""Bytes of one line that are read; a longer one is skipped like one that is damaged."""
CONVERSATION = frozenset({"user", "assistant", "system", "attachment", "progress"})


def read_lines(path: Path) -> Iterator[Line]:
    """The objects in a transcript, in order; what is no object is left out. Nothing when there is no such file."""
    try:
        with path.open("rb") as file:
            while data := file.readline(_LONGEST):
                if not data.endswith(b"\n") and len(data) >= _LONGEST:
                    continue
                try:
                    value = json.loads(data)
                except (ValueError, RecursionError):
                    continue
                if isinstance(value, dict):
                    yield cast("Line", value)
    except OSError:
        return


def text_of(line: Line, key: str) -> str:
    value = line.get(key)
    return value if isinstance(value, str) else ""


def table_of(value: Json) -> Line:
    return cast("Line", value) if isinstance(value, dict) else {}


def list_of(value: Json) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []


def conversation(lines: list[Line]) -> list[Line]:
    """The lines of the conversation as it is now, oldest first: from the newest leaf of the main chain back to its
    root, with the results of parallel calls that hang beside it, and what a compaction kept put behind its summary."""
    own = [
        line
        for line in lines
        if text_of(line, "uuid") and text_of(line, "type") in CONVERSATION and not line.get("isSidechain")
    ]
    by_uuid = {text_of(line, "uuid"): line for line in own}
    chain = _chain(own, by_uuid)
    if not chain:
        return []
    chain = _with_results(own, chain)
    kept = _kept(chain[0], by_uuid)
    if not kept:
        return chain
    there = {text_of(line, "uuid") for line in chain}
    at = 2 if len(chain) > 1 and chain[1].get("isCompactSummary") else 1
    return [*chain[:at], *(line for line in kept if text_of(line, "uuid") not in there), *chain[at:]]


def _chain(own: list[Line], by_uuid: dict[str, Line]) -> list[Line]:
    parents = {text_of(line, "parentUuid") for line in own}
    ends = [line for line in own if text_of(line, "uuid") not in parents]
    position = {text_of(line, "uuid"): number for number, line in enumerate(own)}
    leaves: dict[str, Line] = {}
    for end in ends:
        spoken = next((line for line in _back(end, by_uuid) if line.get("type") in ("user", "assistant")), None)
        if spoken:
            leaves[text_of(spoken, "uuid")] = spoken
    main = [leaf for leaf in leaves.values() if not leaf.get("isMeta") and not leaf.get("teamName")]
    candidates = main or list(leaves.values())
    if not candidates:
        return []
    newest = max(candidates, key=lambda line: position[text_of(line, "uuid")])
    return list(_back(newest, by_uuid))[::-1]


def _back(line: Line | None, by_uuid: dict[str, Line]) -> Iterator[Line]:
    seen: set[str] = set()
    while line is not None and text_of(line, "uuid") not in seen:
        seen.add(text_of(line, "uuid"))
        yield line
        line = by_uuid.get(text_of(line, "parentUuid"))


def _with_results(own: list[Line], chain: list[Line]) -> list[Line]:
    """Calls of one reply are lines of their own, each result may hang on its call's: the walk follows one of them."""
    on_chain = {text_of(line, "uuid") for line in chain}
    last: dict[str, str] = {}
    for line in chain:
        if name := _reply_of(line):
            last[name] = text_of(line, "uuid")
    beside: dict[str, list[Line]] = {}
    owner: dict[str, str] = {}
    for line in own:
        name = _reply_of(line)
        for call in calls_of(line):
            owner.setdefault(call, name)
        answered = next((owner[call] for call in results_of(line) if call in owner), "")
        if text_of(line, "uuid") not in on_chain and (anchor := last.get(name or answered)):
            beside.setdefault(anchor, []).append(line)
    # Calls come before their results whatever the order in which they were written.
    return [
        each
        for line in chain
        for each in (line, *sorted(beside.get(text_of(line, "uuid"), ()), key=lambda other: not _reply_of(other)))
    ]


def _kept(first: Line, by_uuid: dict[str, Line]) -> list[Line]:
    about = table_of(first.get("compactMetadata"))
    kept = table_of(about.get("preservedMessages") or about.get("preserved_messages"))
    return [by_uuid[uuid] for uuid in list_of(kept.get("uuids")) if isinstance(uuid, str) and uuid in by_uuid]


def _reply_of(line: Line) -> str:
    """The id that the lines of one reply share; empty for any other line."""
    return text_of(table_of(line.get("message")), "id") if line.get("type") == "assistant" else ""


def blocks_of(line: Line) -> list[Line]:
    content = table_of(line.get("message")).get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [table_of(block) for block in list_of(content)]


def calls_of(line: Line) -> list[str]:
    return [text_of(block, "id") for block in blocks_of(line) if block.get("type") == "tool_use"]


def results_of(line: Line) -> list[str]:
    return [text_of(block, "tool_use_id") for block in blocks_of(line) if block.get("type") == "tool_result"]
