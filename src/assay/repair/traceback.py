"""What a failing check prints, read back: where it failed, in which test, and what was seen instead of what.

Formats: the interpreter's own tracebacks, pytest's long and short ones (docs.pytest.org, "Managing pytest's output"),
unittest's, and the `file:line` that nearly every other tool prints (node, go, java, rust, compilers).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

LIMIT = 400_000
"""Characters of output that are looked at; of longer output, the beginning and the end."""
MOST_FRAMES = 400

_PYTHON = re.compile(r'^\s*File "([^"\n]{1,400})", line (\d{1,7})(?:, in (\S{1,200}))?')
_PYTEST = re.compile(r"^([^\s:][^:\n]{0,400}\.pyi?):(\d{1,7}): ?(?:in (\S{1,200})|[A-Za-z_][\w.]*)?\s*$")
_JAVA = re.compile(r"^\s*at ([\w$.<>]{1,300})\(([\w$]{1,200}\.(?:java|kt|scala)):(\d{1,7})\)")
_NODE = re.compile(
    r"^\s*at (?:(?:async |new )?(\S{1,200}) (?:\[as \S{1,200}\] )?\()?(?:file://)?([^\s():]{1,400}):(\d{1,7}):\d{1,7}\)?"
)
_OTHER = re.compile(r"(?:^|[\s(])((?:[\w.@+-]{1,100}/){0,30}[\w.@+-]{1,100}\.[A-Za-z]{1,6}):(\d{1,7})\b")
_HEADER = re.compile(r"^_{3,} (.{1,400}?) _{3,}$")
_UNITTEST = re.compile(r"^(?:FAIL|ERROR): (\S{1,200})(?: \(([\w.<>]{1,400})\))?")
_RULE = re.compile(r"^(?:={3,}.*|-{70})$")


class Frame(Struct, frozen=True):
    path: str
    """As printed: absolute or relative, with whatever separators."""
    line: int
    function: str = ""


class Failure(Struct, frozen=True):
    """One failing test, or one traceback outside of any test."""

    name: str
    """As the runner heads it; "" outside of a test."""
    frames: tuple[Frame, ...] = ()
    """Outermost first."""
    error: tuple[str, ...] = ()
    """What was seen instead of what was expected: the `E` lines of pytest, or the exception's own lines."""
    statement: str = ""
    """The statement of the test that failed, where it is printed."""
    arguments: tuple[str, ...] = ()
    """`name = value` lines of the parameters, where they are printed."""


def frames(output: str) -> list[Frame]:
    """Every place that `output` names, in the order of printing; at most `MOST_FRAMES`. Never raises."""
    found: list[Frame] = []
    for line in _bounded(output).splitlines():
        frame = _frame(line)
        if frame is not None and (not found or found[-1] != frame):
            found.append(frame)
            if len(found) >= MOST_FRAMES:
                break
    return found


def failures(output: str) -> list[Failure]:
    """The failures that `output` reports, in its order. Never raises; [] when nothing can be told."""
    return [failure for name, lines in _sections(_bounded(output)) if (failure := _failure(name, lines)) is not None]


def project_path(path: str, files: Collection[str]) -> str:
    """The workspace-relative path meant by a printed one, or "": itself, or the only file that it ends with."""
    plain = path.replace("\\", "/").removeprefix("./")
    if plain in files:
        return plain
    matches = [file for file in files if plain.endswith("/" + file)]
    if matches:
        return max(matches, key=len)
    inner = [file for file in files if file.endswith("/" + plain)]
    return inner[0] if len(inner) == 1 else ""


def project_frames(found: Sequence[Frame], files: Collection[str]) -> list[Frame]:
    """The frames that lie in `files`, innermost first, with workspace-relative paths."""
    named = [Frame(path, frame.line, frame.function) for frame in found if (path := project_path(frame.path, files))]
    return named[::-1]


def _bounded(output: str) -> str:
    return output if len(output) <= LIMIT else output[: LIMIT // 2] + "\n" + output[-LIMIT // 2 :]


def _frame(line: str) -> Frame | None:
    line = line[:1_000]
    if match := _PYTHON.match(line) or _PYTEST.match(line):
        return Frame(match[1], int(match[2]), match[3] or "")
    if match := _JAVA.match(line):
        folder = match[1].rsplit(".", 2)[0].replace(".", "/") if match[1].count(".") > 1 else ""
        return Frame(f"{folder}/{match[2]}".lstrip("/"), int(match[3]), match[1].rsplit(".", 1)[-1])
    if match := _NODE.match(line):
        return Frame(match[2], int(match[3]), (match[1] or "").rsplit(".", 1)[-1])
    if match := _OTHER.search(line):
        return Frame(match[1], int(match[2]))
    return None


def _sections(output: str) -> Iterator[tuple[str, list[str]]]:
    """Pieces of the output that belong to one test each; all of it under "" when it has no headings."""
    lines = output.splitlines()
    starts = [(n, match[1] if match.re is _HEADER else _unittest_name(match)) for n, line in enumerate(lines)
              if (match := _HEADER.match(line) or _UNITTEST.match(line))]  # fmt: skip
    if not starts:
        yield "", lines
        return
    for (start, name), (end, _) in zip(starts, [*starts[1:], (len(lines), "")], strict=True):
        body = lines[start + 1 : end]
        # What follows a rule is the runner's summary or the head of the next section; a leading one is decoration.
        stop = next((n for n, line in enumerate(body) if n > 1 and _RULE.match(line)), len(body))
        yield name, body[:stop]


def _unittest_name(match: re.Match[str]) -> str:
    place = match[2] or ""
    return f"{place}.{match[1]}" if place and not place.endswith(match[1]) else place or match[1]


def _failure(name: str, lines: list[str]) -> Failure | None:
    found: list[Frame] = []
    for line in lines:
        if (frame := _frame(line)) is not None and len(found) < MOST_FRAMES:
            found.append(frame)
    error = [line[1:].strip() for line in lines if line.startswith("E ")]
    pointed = [line[1:].strip() for line in lines if line.startswith(">")]
    arguments = [line.strip() for line in lines if re.match(r"^[A-Za-z_]\w* = ", line)]
    if not error:
        error = _exception(lines)
    if not (found or error):
        return None
    return Failure(
        name,
        tuple(found),
        tuple(line[:300] for line in error[:12]),
        (pointed or [_last_statement(lines)])[0][:300],
        tuple(line[:200] for line in arguments[:6]),
    )


def _exception(lines: list[str]) -> list[str]:
    """The exception's lines after the last frame of a plain traceback."""
    last = max((n for n, line in enumerate(lines) if _PYTHON.match(line)), default=None)
    if last is None:
        return []
    after = [line for line in lines[last + 1 :] if line.strip() and not line.startswith((" ", "\t", "-", "="))]
    return after[:6]


def _last_statement(lines: list[str]) -> str:
    """The source line printed under the outermost frame of a plain traceback."""
    first = next((n for n, line in enumerate(lines) if _PYTHON.match(line)), None)
    return lines[first + 1].strip() if first is not None and first + 1 < len(lines) else ""
