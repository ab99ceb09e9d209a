"""`assay explain`: why a call was decided as it was, or how one would be."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from assay.app.explain import Explained, explain_imagined, explain_logged, is_imagined
from assay.app.flags import PERMISSION_MODES, Flag, Parsed, describe, parse
from assay.app.paths import find_paths
from assay.app.task import Wish
from assay.core.errors import UsageError
from assay.core.messages import Json
from assay.sessions.index import Sessions
from assay.surfaces.cli.terminal import ascii_json, one_line, write_err, write_out

FLAGS = (
    Flag("--session", "text", "the session that CALL is in (default: the newest of this directory)", value="ID"),
    Flag("--output-format", "choice", "how the answer is printed", choices=("text", "json")),
    Flag("--permission-mode", "choice", "for a call that was not made: in this mode", choices=PERMISSION_MODES),
    Flag("--settings", "text", "for a call that was not made: with this settings file, or JSON", value="FILE"),
    Flag("--no-sandbox", "switch", "for a call that was not made: with commands unconfined"),
    Flag("--help", "switch", "print this", "-h"),
)
USAGE = """usage: assay explain CALL [--session ID] [--output-format json]
       assay explain 'Bash(git push)'
"""


def run_explain(arguments: list[str]) -> int:
    """Carry out `assay explain ...`; returns the exit code: 0, or 2 when the settings it would go by are not valid."""
    parsed = parse(arguments, FLAGS)
    if parsed.on("help") or not parsed.words:
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0 if parsed.on("help") else 2
    if len(parsed.words) > 1:
        raise UsageError(f"assay explain takes one call; got '{parsed.words[1]}' as well. Put a command line in quotes")
    (word,) = parsed.words
    if is_imagined(word) and parsed.text("session") is None:
        return _imagined(parsed, word)
    sessions = Sessions(find_paths(os.environ).state)
    identity = parsed.text("session") or sessions.latest(str(Path.cwd()))
    _print(parsed, explain_logged(sessions.read(identity).records(), word), [])
    return 0


def _imagined(parsed: Parsed, word: str) -> int:
    wish = Wish(
        Path.cwd(),
        dict(os.environ),
        permission_mode=parsed.text("permission_mode"),
        settings=parsed.text("settings"),
        no_sandbox=parsed.on("no_sandbox"),
    )
    found, problems = asyncio.run(explain_imagined(word, wish))
    _print(parsed, found, problems)
    return 2 if problems else 0


def _print(parsed: Parsed, found: list[Explained], problems: list[str]) -> None:
    for problem in problems:
        write_err(f"error: {problem}")
    if problems:
        write_err("! until that is mended no work is done; this is by the stricter reading")
    if parsed.text("output_format") == "json":
        write_out(ascii_json(msgspec.json.encode([_object(each) for each in found]).decode()) + "\n")
        return
    write_out("\n".join("\n".join(_lines(each)) for each in found) + "\n")


def _object(each: Explained) -> dict[str, Json]:
    return {
        "call": each.call,
        "tool": each.tool,
        "label": msgspec.to_builtins(each.label),
        "verdict": each.decision.verdict,
        "rule": each.decision.rule,
        "reason": each.decision.reason,
        "effects": [
            {
                "kind": row.effect.kind,
                "target": row.effect.target,
                "sink": row.sink,
                "verdict": row.verdict,
                "rule": row.rule,
                "reason": row.reason,
            }
            for row in each.decision.weighed
        ],
        "digest": each.digest,
        "result": each.result,
    }


def _lines(each: Explained) -> list[str]:
    said = each.decision
    head = f"{each.call}  {each.tool}" if each.call else each.tool
    lines = [
        f"call     {head}",
        f"session  integrity {each.label.integrity}, secrecy {each.label.secrecy}",
        _worded("verdict  ", said.verdict, said.rule, said.reason),
    ]
    for row in said.weighed:
        sink = f" → {row.sink}" if row.sink else ""
        effect = one_line(f"{row.effect.kind} {row.effect.target}", 100)
        lines.append(_worded(f"effect   {effect}{sink}: ", row.verdict, row.rule, row.reason))
    if each.digest:
        lines.append(f"digest   {each.digest}")
    if each.result:
        lines.append(f"result   {one_line(each.result, 160)}")
    return lines


def _worded(head: str, verdict: str, rule: str, reason: str) -> str:
    why = f" ({one_line(reason, 200)})" if reason else ""
    return f"{head}{verdict} by: {one_line(rule, 100)}{why}"
