"""Mending what does not even run: files that don't parse, here, and names that don't exist (`missing.py`).

Each proposal is one small change; whether it helps is for the check to say.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping

from assay.repair.locate import is_test_path
from assay.repair.missing import missing
from assay.repair.patch import Edit, Patch
from assay.repair.source import lines_of, with_ends

CLOSERS = {"(": ")", "[": "]", "{": "}"}
MOST_FILES = 5
DEPTH = 3
"""Mistakes in one file that are mended together."""

_COLON = re.compile(r"(?:async\s+)?(?:if|elif|else|for|while|def|class|try|except|finally|with|match|case)\b")


def rescues(sources: Mapping[str, str], output: str) -> Iterator[Patch]:
    """Patches of `sources` (path -> text) for a check that printed `output`, likeliest first. Files that are no tests
    only. Never raises; nothing when neither a file is broken nor a name missing."""
    broken = [path for path in sources if path.endswith(".py") and not is_test_path(path) and _broken(sources[path])]
    for path in broken[:MOST_FILES]:
        yield from _parsing(path, sources[path])
    if not broken:
        seen: set[Patch] = set()
        for patch in missing(sources, output):
            if patch not in seen and all(_broken(text) is None for text in patch.apply(sources).values()):
                seen.add(patch)
                yield patch


def _broken(text: str) -> SyntaxError | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text.removeprefix("\ufeff"), "<file>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def _patch(path: str, text: str, changed: str, name: str, line: int) -> Patch:
    """`changed` as one edit of `text`."""
    start = next(
        (n for n, (a, b) in enumerate(zip(text, changed, strict=False)) if a != b), min(len(text), len(changed))
    )
    room = min(len(text), len(changed)) - start
    back = next((n for n in range(room) if text[-1 - n] != changed[-1 - n]), room)
    return Patch((Edit(path, start, len(text) - back, changed[start : len(changed) - back]),), name, line)


def _parsing(path: str, text: str) -> Iterator[Patch]:
    seen: set[str] = set()
    error = _broken(text)
    line = error.lineno or 1 if error else 1
    for name, mended in _mended(text.replace("\r\n", "\n")):
        changed = with_ends(text, mended)
        if changed not in seen and changed != text and _broken(changed) is None:
            seen.add(changed)
            yield _patch(path, text, changed, name, line)


def _mended(text: str) -> Iterator[tuple[str, str]]:
    """Texts that may parse, the mildest changes first; a second mistake is looked for behind each that got further."""
    pending = [(text, "", 0)]
    for depth in range(DEPTH):
        found: list[tuple[str, str, int]] = []
        for current, name, _ in pending[:6]:
            error = _broken(current)
            if error is None:
                continue
            at = min(max((error.lineno or 1) - 1, 0), max(len(lines_of(current)) - 1, 0))
            for label, changed in _proposals(current, at):
                again = _broken(changed)
                if again is None:
                    yield f"{name}+{label}".strip("+"), changed
                elif depth < DEPTH - 1 and (again.lineno or 0) - 1 > at + 1:
                    found.append((changed, f"{name}+{label}".strip("+"), again.lineno or 0))
        pending = sorted(found, key=lambda item: -item[2])


def _proposals(text: str, at: int) -> Iterator[tuple[str, str]]:
    """Changes near line number `at` (0-based), where the parser gave up."""
    lines = text.split("\n")
    if "\t" in text:
        for width in (4, 8):
            yield "tabs", "\n".join(_spaces(line, width) for line in lines)
    for n in dict.fromkeys((at, at - 1, at - 2, at + 1)):
        if 0 <= n < len(lines):
            for label, line in _line(lines[n]):
                yield label, "\n".join([*lines[:n], line, *lines[n + 1 :]])
    for n in dict.fromkeys((at, at - 1, at + 1)):
        if 0 <= n < len(lines) and lines[n].strip():
            levels = {len(line) - len(line.lstrip()) for line in lines[max(0, n - 12) : n + 12] if line.strip()}
            own = len(lines[n]) - len(lines[n].lstrip())
            for level in sorted(levels | {max(own - 4, 0), own + 4}, key=lambda level: abs(level - own)):
                if level != own:
                    yield "indent", "\n".join([*lines[:n], " " * level + lines[n].lstrip(), *lines[n + 1 :]])
    # A block that as a whole stands too far left or right.
    own = len(lines[at]) - len(lines[at].lstrip()) if at < len(lines) else 0
    end = at
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) >= max(own, 1)):
        end += 1
    for shift in (4, -4, 2, -2, 1, -1):
        block = [_shifted(line, shift) for line in lines[at:end]]
        yield "indent", "\n".join([*lines[:at], *block, *lines[end:]])
    if lines and at > 0 and lines[at - 1].rstrip().endswith(":"):
        margin = lines[at - 1][: len(lines[at - 1]) - len(lines[at - 1].lstrip())]
        yield "pass", "\n".join([*lines[:at], margin + "    pass", *lines[at:]])


def _spaces(line: str, width: int) -> str:
    head = line[: len(line) - len(line.lstrip(" \t"))]
    return head.expandtabs(width) + line[len(head) :]


def _shifted(line: str, by: int) -> str:
    own = len(line) - len(line.lstrip())
    return " " * max(own + by, 0) + line.lstrip() if line.strip() else line


def _line(line: str) -> Iterator[tuple[str, str]]:
    """Mended forms of one line."""
    code, comment = _split_comment(line)
    bare = code.rstrip()
    tail = code[len(bare) :] + comment
    if not bare.strip():
        return
    if _COLON.match(bare.strip()) and not bare.endswith(":"):
        yield "colon", bare.rstrip(";,.") + ":" + tail
    opened: list[str] = []
    extra = -1
    for n, mark in enumerate(_outside_strings(bare)):
        if mark in CLOSERS:
            opened.append(CLOSERS[mark])
        elif mark in ")]}" and opened and opened[-1] == mark:
            opened.pop()
        elif mark in ")]}":
            if opened:
                yield "bracket", bare[:n] + opened[-1] + bare[n:] + tail
                yield "bracket", bare[:n] + opened[-1] + bare[n + 1 :] + tail
            extra = n if extra < 0 else extra
    if opened:
        closing = "".join(reversed(opened))
        if bare.endswith((":", ",")):
            yield "bracket", bare[:-1] + closing + bare[-1] + tail
        yield "bracket", bare + closing + tail
        yield "bracket", bare + closing + ":" + tail
    if extra >= 0:
        yield "bracket", bare[:extra] + bare[extra + 1 :] + tail
        for start, mark in (("(", ")"), ("[", "]"), ("{", "}")):
            if bare[extra] == mark:
                margin = len(bare) - len(bare.lstrip())
                for n in sorted(
                    {margin, *(m.end() for m in re.finditer(r"(?:=|return|\bin|\bif|,)\s*", bare[:extra]))}
                ):
                    yield "bracket", bare[:n] + start + bare[n:] + tail
    for quote in ("'", '"'):
        if bare.count(quote) % 2:
            yield "quote", bare + quote + tail
            for n in [n for n, mark in enumerate(bare) if mark in ")]},:"][::-1][:4]:
                yield "quote", bare[:n] + quote + bare[n:] + tail
    if found := re.match(r"(\s*(?:el)?if\b.*?|\s*while\b.*?)(?<![=!<>:])=(?!=)(.*)", bare):
        yield "equals", f"{found[1]}=={found[2]}{tail}"
    for wrong, right in (
        ("=<", "<="),
        ("=>", ">="),
        ("&&", " and "),
        ("||", " or "),
        ("else if", "elif"),
        ("++", " += 1"),
    ):
        if wrong in bare:
            yield "operator", bare.replace(wrong, right, 1) + tail
    for wrong, right in ((r"\bnull\b", "None"), (r"\btrue\b", "True"), (r"\bfalse\b", "False"), (r"!(?!=)\s*", "not ")):
        if re.search(wrong, bare):
            yield "word", re.sub(wrong, right, bare, count=1) + tail
    if found := re.match(r"(\s*)(?:function|func|fn|define|fed|dfe|edf)\s+(\w+\s*\(.*)", bare):
        yield "word", f"{found[1]}def {found[2]}{'' if bare.endswith(':') else ':'}{tail}"
    for n in [match.start() for match in re.finditer(r"(?<=[\w\])'\"])\s+(?=[\w'\"])", bare)][:12]:
        yield "comma", bare[:n] + "," + bare[n:] + tail


def _split_comment(line: str) -> tuple[str, str]:
    plain = _outside_strings(line)
    at = plain.find("#")
    return (line, "") if at < 0 else (line[:at], line[at:])


def _outside_strings(line: str) -> str:
    """The line with what is inside of quotes blanked out; positions stay."""
    return re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", lambda found: " " * len(found[0]), line)
