"""Jupyter notebooks: cells as a model sees them, and changes to one cell that leave the rest of the file as it is.

Format: nbformat 4 (https://nbformat.readthedocs.io). Cells without an id, as before 4.5, go by `cell-N`, from 0.
"""

from __future__ import annotations

import json
import re
from typing import Literal, NamedTuple, cast

from assay.core.errors import WorkspaceError
from assay.core.messages import Image, Json, Text
from assay.tools.bound import head_tail, plain, visible

CellType = Literal["code", "markdown"]
Members = dict[str, tuple[int, int]]

OUTPUT = 2_000
"""Characters that are shown of what a cell printed."""
IMAGES = 5
IMAGE_CHARACTERS = 1_500_000
"""Of base64, of one image."""
_SPACE = re.compile(r"[ \t\r\n]*")
_MEDIA = ("image/png", "image/jpeg")


class Shown(NamedTuple):
    parts: tuple[Text | Image, ...]
    first: int
    last: int
    total: int


class Notebook:
    """A notebook's text with the place of each cell in it. Raises `WorkspaceError` for what is not one."""

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            decoded: object = json.loads(text)
            top = _members(text, _skip(text, 0))
        except (ValueError, RecursionError) as error:
            raise WorkspaceError(f"not a notebook: {error}") from None
        self._data = _table(decoded)
        cells = self._data.get("cells")
        if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cast("list[object]", cells)):
            raise WorkspaceError("not a notebook of format 4: it has no list of cells")
        self.cells: list[dict[str, Json]] = [_table(cell) for cell in cast("list[object]", cells)]
        self._array = top["cells"]
        self._spans = _elements(text, self._array[0])

    def name(self, index: int) -> str:
        return str(self.cells[index].get("id") or f"cell-{index}")

    def index(self, cell: str) -> int:
        """Raises `WorkspaceError` when there is no such cell."""
        names = [self.name(index) for index in range(len(self.cells))]
        if cell in names:
            return names.index(cell)
        number = cell.removeprefix("cell-")
        if number.isascii() and number.isdigit() and len(number) < 7 and int(number) < len(names):
            return int(number)
        some = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise WorkspaceError(f"there is no cell {visible(cell[:80])!r}; cells: {visible(some) or 'none'}")

    def shown(self, offset: int, limit: int, room: int) -> Shown:
        """The cells from the `offset`-th (from 1), as many as fit into `room` characters."""
        parts: list[Text | Image] = []
        images = IMAGES
        first = last = max(offset, 1) - 1
        for index in range(first, min(first + max(limit, 1), len(self.cells))):
            text, found = self._cell(index)
            if parts and len(text) > room:
                break
            room -= len(text)
            parts.append(Text(head_tail(text, 20_000)))
            parts += found[:images]
            images -= len(found[:images])
            last = index + 1
        if not parts:
            parts.append(Text(f"(the notebook has {len(self.cells)} cells)"))
        elif last < len(self.cells):
            parts.append(Text(f"[cells {first + 1}-{last} of {len(self.cells)}; go on with offset={last + 1}]"))
        return Shown(tuple(parts), first + 1, last, len(self.cells))

    def _cell(self, index: int) -> tuple[str, list[Image]]:
        cell = self.cells[index]
        kind = str(cell.get("cell_type", ""))
        rows = [f"== {visible(self.name(index))} ({visible(kind)})", visible(_joined(cell.get("source")))]
        images: list[Image] = []
        for output in _tables(cell.get("outputs")):
            text, image = _output(output)
            if text:
                rows.append(f"-- output\n{head_tail(plain(text).strip(), OUTPUT)}")
            if image:
                rows.append("-- output: an image")
                images.append(image)
        return "\n".join(rows), images

    def replaced(self, index: int, source: str, kind: CellType | None) -> str:
        """The text of the file with another source in a cell; what a code cell printed goes, being of the old one."""
        start, end = self._spans[index]
        cell = self.cells[index]
        if kind is not None and kind != cell.get("cell_type"):
            kept = {key: value for key, value in cell.items() if key not in ("outputs", "execution_count")}
            return self._spliced({(start, end): kept | _body(kind, _like(cell.get("source"), source))})
        members = _members(self._text, start)
        if "source" not in members:
            return self._spliced({(start, end): cell | {"source": _like(None, source)}})
        changes: dict[tuple[int, int], Json] = {members["source"]: _like(cell.get("source"), source)}
        if cell.get("cell_type") == "code":
            blank: dict[str, Json] = {"outputs": [], "execution_count": None}
            changes |= {members[key]: value for key, value in blank.items() if key in members and cell[key] != value}
        return self._spliced(changes)

    def inserted(self, index: int, source: str, kind: CellType) -> str:
        """The text of the file with a new cell before the `index`-th."""
        like = self.cells[0].get("source") if self.cells else None
        cell: dict[str, Json] = {"cell_type": kind}
        if self._wants_ids():
            cell["id"] = _new_id({self.name(number) for number in range(len(self.cells))})
        cell |= {"metadata": {}} | _body(kind, _like(like, source))
        if not self.cells:
            return self._spliced({self._array: [cell]})
        beside = self._spans[min(index, len(self._spans) - 1)]
        new = self._written(cell, beside[0])
        gap = self._gap()
        at, text = (beside[0], f"{new},{gap}") if index < len(self._spans) else (beside[1], f",{gap}{new}")
        return self._text[:at] + text + self._text[at:]

    def deleted(self, index: int) -> str:
        start, end = self._spans[index]
        if len(self._spans) == 1:
            return self._spliced({self._array: []})
        if index:
            start = self._spans[index - 1][1]
        else:
            end = self._spans[1][0]
        return self._text[:start] + self._text[end:]

    def _wants_ids(self) -> bool:
        minor = self._data.get("nbformat_minor")
        return any("id" in cell for cell in self.cells) or (isinstance(minor, int) and minor >= 5)

    def _gap(self) -> str:
        """What stands between the comma after a cell and the next."""
        if len(self._spans) > 1:
            between = self._text[self._spans[0][1] : self._spans[1][0]]
            return between.partition(",")[2]
        return self._text[self._array[0] + 1 : self._spans[0][0]]

    def _spliced(self, changes: dict[tuple[int, int], Json]) -> str:
        pieces: list[str] = []
        done = 0
        for (start, end), value in sorted(changes.items(), key=lambda item: item[0]):
            pieces += (self._text[done:start], self._written(value, start))
            done = end
        return "".join((*pieces, self._text[done:]))

    def _written(self, value: object, at: int) -> str:
        """`value` as JSON in the manner of the file, to stand at `at`."""
        text = self._text
        ascii_only = text.isascii() and "\\u" in text
        indent = re.match(r"\s*\{\r?\n([ \t]+)", text)
        if indent is None:
            close = ", " if re.match(r'\s*\{"[^"]*": ', text) else ","
            return json.dumps(value, ensure_ascii=ascii_only, separators=(close, ": " if close == ", " else ":"))
        line = text[text.rfind("\n", 0, at) + 1 : at]
        margin = line[: len(line) - len(line.lstrip(" \t"))]
        written = json.dumps(value, ensure_ascii=ascii_only, indent=indent[1])
        return written.replace("\n", f"\n{margin}")


def _body(kind: CellType, source: Json) -> dict[str, Json]:
    code: dict[str, Json] = {"execution_count": None, "outputs": []}
    return {"cell_type": kind, **(code if kind == "code" else {}), "source": source}


def _like(old: Json, source: str) -> Json:
    """`source` as one text if the old one was, else as a list of lines."""
    return source if isinstance(old, str) else list[Json](re.findall(r"[^\n]*\n|[^\n]+", source))


def _new_id(taken: set[str]) -> str:
    from secrets import token_hex

    return next(new for new in iter(lambda: token_hex(4), "") if new not in taken)


def _output(output: dict[str, Json]) -> tuple[str, Image | None]:
    """What a cell printed: its text, or an image."""
    kind = output.get("output_type")
    if kind == "stream":
        return _joined(output.get("text")), None
    if kind == "error":
        return _joined(output.get("traceback"), "\n") or f"{output.get('ename')}: {output.get('evalue')}", None
    data = _table(output.get("data"))
    for media in _MEDIA:
        encoded = "".join(_joined(data.get(media)).split())
        if 0 < len(encoded) <= IMAGE_CHARACTERS and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", encoded):
            return "", Image(media, encoded)
    return _joined(data.get("text/plain")) or _joined(data.get("text/markdown")), None


def _joined(text: object, between: str = "") -> str:
    """Texts in notebooks are one string, or a list of lines."""
    if isinstance(text, list):
        return between.join(str(line) for line in cast("list[object]", text))
    return text if isinstance(text, str) else ""


def _table(value: object) -> dict[str, Json]:
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def _tables(value: object) -> list[dict[str, Json]]:
    return [_table(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _members(text: str, start: int) -> Members:
    """Where the values of the object at `start` lie, by key. `text` is JSON as a whole."""
    decoder = json.JSONDecoder()
    found: Members = {}
    at = _skip(text, start + 1)
    while text[at : at + 1] == '"':
        key, at = decoder.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        _, end = decoder.raw_decode(text, at)
        found[key] = (at, end)
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at : at + 1] == "," else at
    return found


def _elements(text: str, start: int) -> list[tuple[int, int]]:
    """Where the elements of the array at `start` lie."""
    decoder = json.JSONDecoder()
    found: list[tuple[int, int]] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] not in ("]", ""):
        _, end = decoder.raw_decode(text, at)
        found.append((at, end))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at : at + 1] == "," else at
    return found
