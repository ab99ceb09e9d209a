"""What a call did, as an object that hosts can draw: `tool_use_result` beside the result that the model gets.

A tool that knows better says it itself, under the key `tool_use_result` of its `debug`."""

from __future__ import annotations

import re
from typing import cast

from assay.core.events import CallFinished
from assay.core.messages import Image, Json, Text, ToolCall

_NUMBERED = re.compile(r"^(\d+)\t(.*)$", re.M)
_MOST_HUNK = 200
"""Lines of a patch that are shown on each side."""


def tool_use_result(call: ToolCall | None, finished: CallFinished) -> Json:
    """The object for the result of `call`; None when there is nothing to add."""
    own = finished.debug.get("tool_use_result")
    if own is not None or call is None:
        return own
    text = "\n".join(part.text for part in finished.result.content if isinstance(part, Text))
    if finished.result.is_error and call.name != "Bash":
        return f"Error: {text[:4_000]}"
    match call.name:
        case "Bash":
            return _bash(finished, text)
        case "Read":
            return _read(call, finished, text)
        case "Edit":
            return _edit(call)
        case "Write":
            return _write(call, finished)
        case "Glob":
            names = [line for line in text.splitlines() if line and not line.startswith(("[", "("))]
            cut = len(names) < len(text.splitlines())
            return {
                "filenames": cast("list[Json]", names),
                "durationMs": round(finished.seconds * 1000),
                "numFiles": len(names),
                "truncated": cut,
            }
        case "Grep":
            return _grep(call, text)
        case _:
            return None


def _bash(finished: CallFinished, text: str) -> Json:
    made: dict[str, Json] = {
        "stdout": text,
        "stderr": "",
        "interrupted": bool(finished.debug.get("timed_out")),
        "isImage": False,
    }
    if task := finished.debug.get("task"):
        made["backgroundTaskId"] = task
    if spill := finished.debug.get("spill"):
        made["persistedOutputPath"] = spill
    return made


def _read(call: ToolCall, finished: CallFinished, text: str) -> Json:
    path = call.arguments.get("file_path")
    image = next((part for part in finished.result.content if isinstance(part, Image)), None)
    if image:
        size = len(image.data) * 3 // 4
        return {"type": "image", "file": {"base64": image.data, "type": image.media_type, "originalSize": size}}
    rows = _NUMBERED.findall(text)
    lines = [row[1] for row in rows]
    start = int(rows[0][0]) if rows else 1
    told = re.search(r"\[lines \d+-\d+ of (\d+)", text)
    return {
        "type": "text",
        "file": {
            "filePath": path,
            "content": "\n".join(lines),
            "numLines": len(lines),
            "startLine": start,
            "totalLines": int(told[1]) if told else start - 1 + len(lines),
        },
    }


def _edit(call: ToolCall) -> Json:
    asked = call.arguments
    old, new = str(asked.get("old_string") or ""), str(asked.get("new_string") or "")
    return {
        "filePath": asked.get("file_path"),
        "oldString": old,
        "newString": new,
        "originalFile": None,
        "structuredPatch": [_hunk(old, new)],
        "userModified": False,
        "replaceAll": bool(asked.get("replace_all")),
    }


def _write(call: ToolCall, finished: CallFinished) -> Json:
    content = str(call.arguments.get("content") or "")
    new = finished.display.startswith("created")
    return {
        "type": "create" if new else "update",
        "filePath": call.arguments.get("file_path"),
        "content": content,
        "structuredPatch": [] if new else [_hunk("", content)],
        "originalFile": None,
    }


def _grep(call: ToolCall, text: str) -> Json:
    mode = call.arguments.get("output_mode") or "files_with_matches"
    lines = text.splitlines()
    names = lines if mode == "files_with_matches" else []
    return {
        "mode": mode,
        "numFiles": len(names),
        "filenames": cast("list[Json]", names),
        "content": text,
        "numLines": len(lines),
    }


def _hunk(old: str, new: str) -> Json:
    """The change itself as a hunk; where in the file it is, is not known here."""
    before, after = old.splitlines(), new.splitlines()
    lines = [f"-{line}" for line in before[:_MOST_HUNK]] + [f"+{line}" for line in after[:_MOST_HUNK]]
    return {
        "oldStart": 1,
        "oldLines": len(before),
        "newStart": 1,
        "newLines": len(after),
        "lines": cast("list[Json]", lines),
    }
