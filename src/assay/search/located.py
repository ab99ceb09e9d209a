"""The code that a failing check most likely comes from, as it stands in the files."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from assay.core.errors import WorkspaceError
from assay.core.model import estimate_tokens
from assay.core.policy import Effect
from assay.repair.locate import locate
from assay.repair.source import lines_of
from assay.run.run import Run
from assay.verify.baseline import Baseline

TOKENS = 3_000
PLACES = 4
LARGEST_FILE = 400_000
MOST_BYTES = 20_000_000


class Located(Struct, frozen=True):
    """`text` is "" when nothing was found."""

    text: str = ""
    seen: dict[str, str] = {}
    """Path -> SHA-256 of each file that `text` shows a part of."""


async def located(run: Run, red: Baseline) -> Located:
    """Whole functions, likeliest first, at most `TOKENS` tokens; none of a file that policy keeps from the model."""
    sources: dict[str, str] = {}
    digests: dict[str, str] = {}
    room = MOST_BYTES
    for path in await run.parts.workspace.list_files():
        if not path.endswith(".py"):
            continue
        try:
            content = run.parts.workspace.read_file(path, LARGEST_FILE)
            text = content.data.decode("utf-8-sig")
        except (WorkspaceError, UnicodeDecodeError):
            continue
        room -= len(text)
        if room < 0:
            break
        sources[path], digests[path] = text, content.stamp.digest
    places = locate(sources, red.first.output, red.failing or red.first.failing, run.state.prompt, PLACES)
    allowed = await readable(run, {place.path for place in places})
    pieces: list[str] = []
    shown: set[str] = set()
    left = TOKENS
    for place in places:
        code = "\n".join(lines_of(sources[place.path])[place.start - 1 : place.end])
        piece = f"{place.path}:{place.start}-{place.end} {place.symbol}\n```python\n{code}\n```"
        if place.path not in allowed or estimate_tokens(piece) > left:
            continue
        left -= estimate_tokens(piece)
        pieces.append(piece)
        shown.add(place.path)
    return Located("\n".join(pieces), {path: digests[path] for path in sorted(shown)})


async def readable(run: Run, paths: Iterable[str]) -> set[str]:
    """Those of `paths` that the model may read without anybody being asked."""
    found: set[str] = set()
    for path in paths:
        word = await run.parts.gate.decide("Read", (Effect("read", path),), run.label, {"file_path": path})
        if word.verdict == "allow":
            found.add(path)
    return found
