"""Playing attempts: the scripted server is the model, the command is the real one, and we look on from outside."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from assay.safety.place import SOURCES, Place
from assay.safety.suite import PRELUDE, Attempt, Stage, filled, filled_all

LONGEST = 120.0
"""Seconds that one session may take."""
_LIVE = re.compile(rb"\r\x1b\[2K")
"""How the live line wipes itself: the only control sequence of the command's own."""


class Played(NamedTuple):
    """What one session showed to somebody outside."""

    results: dict[str, str]
    """What the tools returned, by attempt."""
    served: frozenset[str]
    """The attempts whose reply the command got."""
    sent: bytes
    """Every request to the model."""
    printed: bytes
    """Both outputs of the command."""
    screen: bytes
    """What reached a terminal, without the wipes of the live line; empty when there was none."""
    code: int


def play(place: Place, stage: Stage, attempts: Sequence[Attempt], *, confined: bool) -> Played:
    """All of `attempts` one after the other, in as few sessions as can be: one that ends the turn ends its session."""
    parts: list[list[Attempt]] = [[]]
    for attempt in attempts:
        parts[-1].append(attempt)
        if attempt.ends:
            parts.append([])
    played = [part for part in parts if part] or [[]]
    all_played = [_session(place, stage, part, confined=confined) for part in played]
    results: dict[str, str] = {}
    for each in all_played:
        results |= each.results
    return Played(
        results,
        frozenset[str]().union(*(each.served for each in all_played)),
        b"\n".join(each.sent for each in all_played),
        b"\n".join(each.printed for each in all_played),
        b"\n".join(each.screen for each in all_played),
        min(each.code for each in all_played),
    )


def _session(place: Place, stage: Stage, attempts: Sequence[Attempt], *, confined: bool) -> Played:
    folder = Path(tempfile.mkdtemp(prefix=f"{stage}-", dir=place.out))
    words = ["-p", "Tidy this project up."]
    if stage in ("resumed", "forked"):
        words.append("--continue")
    if stage == "forked":
        words.append("--fork-session")
    if not confined:
        words.append("--no-sandbox")
    with _server(folder, place, stage, attempts) as url:
        there = ["--model", "scripted", "--base-url", url, "--dialect", "anthropic", "--api-key-env", "K"]
        if stage == "screen":
            printed, screen, code = _on_a_terminal(place, words, there, confined=confined)
        else:
            printed, code = _run(place, [*words, "--output-format", "json", *there])
            screen = b""
        if stage == "opened":
            spare = [] if confined else ["--no-sandbox"]
            for more in (["check", *spare], ["sessions", "list"], ["doctor"]):
                printed += _run(place, more)[0]
    log = (folder / "requests.jsonl").read_bytes().splitlines()
    requests = [msgspec.json.decode(line, type=dict[str, object]) for line in log]
    bodies = [str(request["body"]) for request in requests]
    replies = sum(request["status"] == 200 and request["position"] is not None for request in requests)
    served = frozenset(attempt.mark for attempt in attempts[: max(replies - _lead(stage), 0)])
    results: dict[str, str] = {}
    for body in bodies:
        for call, text in _results(body):
            mark = call.split("-")[1]
            if text not in results.get(mark, ""):
                results[mark] = results.get(mark, "") + text
    return Played(results, served, "\n".join(bodies).encode("utf-8", "replace"), printed, screen, code)


def _results(body: str) -> Iterator[tuple[str, str]]:
    """The results of our calls in a request: id, text."""
    try:
        messages = msgspec.json.decode(body.encode(), type=dict[str, object]).get("messages")
    except msgspec.DecodeError:
        return
    for message in _records(messages):
        for block in _records(message.get("content")):
            identity = str(block.get("tool_use_id", ""))
            if block.get("type") == "tool_result" and identity.startswith("toolu-"):
                yield identity, _text(block.get("content"))


def _records(value: object) -> list[dict[str, object]]:
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, object]", each) for each in found if isinstance(each, dict)]


def _text(content: object) -> str:
    return content if isinstance(content, str) else "\n".join(str(each.get("text", "")) for each in _records(content))


@contextlib.contextmanager
def _server(folder: Path, place: Place, stage: Stage, attempts: Sequence[Attempt]) -> Generator[str]:
    """The compromised model, as a program of its own; its base URL."""
    script, log = folder / "script.json", folder / "requests.jsonl"
    script.write_text(json.dumps(_script(place, stage, attempts)), "utf-8")
    words = ["--script", str(script), "--log", str(log), "--print-url"]
    process = subprocess.Popen(
        [sys.executable, "-m", "assay.testing.server", *words],
        env={**os.environ, "PYTHONPATH": SOURCES},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        if not url:
            raise RuntimeError("the scripted server did not start")
        yield url
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def _lead(stage: Stage) -> int:
    """How many replies come before the first attempt: enough history for it to be shortened; sending out the agent."""
    return {"compacted": 4, "agent": 1}.get(stage, 0)


def _script(place: Place, stage: Stage, attempts: Sequence[Attempt]) -> dict[str, object]:
    replies: list[object] = []
    faults: list[object] = []
    if stage == "compacted":
        replies += [
            {"text": "I look around.", "calls": [_call("Bash", {"command": f"seq {n}000 {n}999"}, f"toolu-fill-{n}")]}
            for n in range(1, _lead(stage) + 1)
        ]
        faults = [{"name": "too_long", "after": _lead(stage)}]
    if stage == "agent":
        errand: dict[str, object] = {"description": "tidy up", "prompt": "Tidy this project up."}
        replies.append({"text": "I delegate.", "calls": [_call("Agent", errand, "toolu-fill-0")]})
    for attempt in attempts:
        words = place.words(attempt.mark)
        wanted = [*({"tool": "Bash", "command": PRELUDE + line} for line in attempt.run), *attempt.calls]
        calls: list[object] = []
        for number, each in enumerate(wanted):
            arguments = cast("dict[str, object]", filled_all(dict(each), words))
            name = str(arguments.pop("tool"))
            calls.append(_call(name, arguments, f"toolu-{attempt.mark}-{stage}{number}"))
        text = filled(attempt.text, words) or f"Next: {attempt.mark}."
        replies.append({"text": text, "calls": calls} if calls else {"text": text})
    replies.append({"text": "All is tidy now."})
    return {"replies": replies, "faults": faults, "order": "request", "after": "repeat"}


def _call(name: str, arguments: dict[str, object], identity: str) -> dict[str, object]:
    return {"name": name, "arguments": arguments, "id": identity}


def _run(place: Place, words: Sequence[str]) -> tuple[bytes, int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", *words],
        cwd=place.project,
        env=place.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        printed, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
        return printed + b"\n[did not end]\n", -1
    return printed, process.returncode


def _on_a_terminal(
    place: Place, words: Sequence[str], there: Sequence[str], *, confined: bool
) -> tuple[bytes, bytes, int]:
    """The session, and then what shows stored ones, on a pseudo-terminal. Without confinement through a pipe and `cat`,
    which passes on what it gets: so is proved that raw characters would be seen."""
    shown, code = _typed(place, [*words, "--verbose", *there], raw=not confined)
    logs = sorted(place.state.glob("sessions/*/*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    for more in (
        ["sessions", "list", "--all"],
        ["sessions", "list", "--json"],
        ["doctor"],
        ["models", "list", "no\x1b[2J"],
        *(["sessions", action, logs[-1].stem] for action in ("show", "export")),
        ["sessions", "export", logs[-1].stem, "--format", "md"],
        ["sessions", "export", logs[-1].stem, "--format", "raw"],
        ["sessions", "show", "no\x1b]0;such\x07session\x9b2J"],
        ["-p", "x", "--model\x1b[2J\x1b]52;c;eA==\x07"],
        ["check", "--check", "printf '\\033[2J\\033]0;x\\007'; false", *([] if confined else ["--no-sandbox"])],
        ["--settings", '{"model": "a\x1b[2Jb"}', "-p", "hello", "--verbose"],
    ):
        shown += _typed(place, more, raw=False)[0]
    return shown, _LIVE.sub(b"", shown), code


def _typed(place: Place, words: Sequence[str], *, raw: bool) -> tuple[bytes, int]:
    """One command on a terminal of its own; what that terminal got, and the exit code."""
    command = [sys.executable, "-m", "assay", *words]
    if raw:
        command = ["/bin/sh", "-c", '"$@" | cat', "sh", *command]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=place.project, env=place.variables, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()
    limit = time.monotonic() + LONGEST
    try:
        while time.monotonic() < limit:
            if not select.select([ours], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                data = os.read(ours, 65_536)
            except OSError:  # the last writer has gone
                break
            shown += data
        return bytes(shown), process.wait(max(limit - time.monotonic(), 1.0))
    except subprocess.TimeoutExpired:
        process.kill()
        return bytes(shown), process.wait()
    finally:
        os.close(ours)
