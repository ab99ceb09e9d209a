"""The code that a failing check most likely comes from, put before a model so that it need not search for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from assay.core.errors import WorkspaceError
from assay.core.model import estimate_tokens
from assay.core.policy import Effect
from assay.core.workspace import Workspace
from assay.repair.clues import Clues, Location
from assay.repair.fuse import rank
from assay.repair.outline.read import language_of
from assay.repair.source import lines_of
from assay.repair.suspicion import suspicion
from assay.repair.trial import Bench, Traced
from assay.run.run import Run
from assay.verify.baseline import Baseline

TOKENS = 1_500
PLACES = 5
CLEAR = 0.35
"""From this share on the first place is very likely it (measured: four times in five), and its code is shown even if it
is long. Below, the first two hold it about every second time: both are shown if they take less than half of the room,
which costs less than the request by which a model would ask for them."""
RIVAL = 0.6
"""Behind a clear first place a second one is shown when its share is at least this much of the first one's."""
SLOW = 20.0
"""Seconds of a check above which nobody waits for it to be watched."""
LARGEST_FILE = 400_000
_NO_MODULE = re.compile(r"No module named '([\w.]{1,200})'")
MOST_BYTES = 20_000_000


class Located(Struct, frozen=True):
    """`text` is "" when nothing was found."""

    text: str = ""
    seen: dict[str, str] = {}
    """Path -> SHA-256 of each file that `text` shows code of."""


async def located(run: Run, red: Baseline, tokens: int = TOKENS) -> Located:
    """Where `red` most likely fails, at most `tokens` tokens: places with their signatures, and the code of the first
    one or two, see `CLEAR`. Nothing of a file that policy keeps from the model."""
    sources, digests = await read_sources(run.parts.workspace)
    lines = await watched(run, red, sources)
    clues = Clues(red.first.output, to_mend(red, sources), run.state.prompt, lines)
    places = await asyncio.to_thread(rank, sources, clues, PLACES)
    allowed = await readable(run, {place.path for place in places})
    text, shown = render([place for place in places if place.path in allowed], sources, tokens)
    return Located(text, {path: digests[path] for path in sorted(shown)})


async def watched(run: Run, red: Baseline, sources: Mapping[str, str]) -> dict[str, dict[int, float]]:
    """Path -> line -> suspicion, 0 to 1, from watching the tests of a Python check in a copy, which makes the
    difference between a hint and a find; {} where that can't be had, or would take long."""
    paths = [path for path in sources if path.endswith(".py")]
    if not paths or red.first.run.seconds > SLOW:
        return {}
    run.progress("check", "watching what fails")
    try:
        async with run.parts.workspace.copy(await run.start_tree()) as copy:
            bench = Bench(copy, red.check, to_mend(red, sources), red.passing)
            traced = await bench.trace(paths) if bench.fast else Traced()
    except WorkspaceError:
        return {}
    return suspicion(traced, red.first.output, sources)


def render(places: Sequence[Location], sources: Mapping[str, str], tokens: int = TOKENS) -> tuple[str, set[str]]:
    """The text about `places`, at most `tokens` tokens, and the paths of which it shows code."""
    rows: list[str] = []
    for place in places:
        row = f"{place}  {place.signature}" if place.signature else str(place)
        if estimate_tokens("\n".join([*rows, row])) > tokens:
            break
        rows.append(row)
    clear = bool(places) and places[0].share >= CLEAR
    chosen = [place for place in places[:2] if not clear or place.share >= places[0].share * RIVAL]
    room = tokens if clear else tokens // 2
    shown: set[str] = set()
    for place in chosen:
        code = "\n".join(lines_of(sources[place.path])[place.start - 1 : place.end])
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
        block = f"\n{place.path}:{place.start}-{place.end}\n{fence}{language_of(place.path)}\n{code}\n{fence}"
        if not all(char.isprintable() or char in "\n\t" for char in code):
            continue  # what can't be seen can't be edited from here
        if estimate_tokens("\n".join([*rows, block])) <= room:
            rows.append(block)
            shown.add(place.path)
    return "\n".join(rows), shown


async def read_sources(workspace: Workspace) -> tuple[dict[str, str], dict[str, str]]:
    """Path -> text of the files in languages that can be outlined and read as UTF-8, and path -> SHA-256; bounded."""
    sources: dict[str, str] = {}
    digests: dict[str, str] = {}
    room = MOST_BYTES
    for number, path in enumerate(await workspace.list_files()):
        if number % 50 == 0:
            await asyncio.sleep(0)  # a large repository must not hold up an interrupt
        if not language_of(path):
            continue
        try:
            content = workspace.read_file(path, LARGEST_FILE)
            text = content.data.decode("utf-8-sig")
        except (WorkspaceError, UnicodeDecodeError):
            continue
        room -= len(text)
        if room < 0:
            break
        sources[path], digests[path] = text, content.stamp.digest
    return sources, digests


def to_mend(red: Baseline, sources: Mapping[str, str]) -> tuple[str, ...]:
    """The failing tests that a change of the code can turn green: without files of tests that can't be collected for
    want of a package that is not installed, if others fail, too."""
    failing = tuple(red.failing or red.first.failing)
    own = {part.removesuffix(".py") for path in sources for part in path.split("/")}
    reasons = red.first.report.reasons
    ours: list[str] = []
    for test in failing:
        lacking = _NO_MODULE.search(reasons.get(test, "")) if "::" not in test else None
        if lacking is None or lacking[1].partition(".")[0] in own:
            ours.append(test)
    return tuple(ours) or failing


def python_of(sources: Mapping[str, str]) -> dict[str, str]:
    """Those of `sources` that are Python."""
    return {path: text for path, text in sources.items() if path.endswith(".py")}


async def readable(run: Run, paths: Iterable[str]) -> set[str]:
    """Those of `paths` that the model may read without anybody being asked."""
    found: set[str] = set()
    for path in paths:
        word = await run.parts.gate.decide("Read", (Effect("read", path),), run.label, {"file_path": path})
        if word.verdict == "allow":
            found.add(path)
    return found
