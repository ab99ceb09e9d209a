"""A text file as a model sees it, and its bytes as they are: encoding, byte order mark and line ends survive."""

from __future__ import annotations

from bisect import bisect_left

from assay.core.errors import WorkspaceError

# The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


class TextFile:
    """`view` is the text with line feeds only; positions in it are what the methods take."""

    def __init__(self, raw: str, codec: str, mark: bytes, errors: str) -> None:
        self.codec = codec
        self._raw = raw
        self._mark = mark
        self._errors = errors
        self._crs: list[int] | None = None
        """Positions in `view` of the line ends that are CR LF; None until asked for."""
        self._only_cr = "\n" not in raw and "\r" in raw
        self.view = raw.replace("\r", "\n") if self._only_cr else raw.replace("\r\n", "\n")

    @property
    def encoding(self) -> str:
        """For people: `UTF-16-LE`, `Latin-1`, `UTF-8 with BOM`, `UTF-8 with bad bytes`."""
        name = "Latin-1" if self.codec == "latin-1" else self.codec.upper()
        if self._errors != "strict":
            return f"{name} with bad bytes"
        return f"{name} with BOM" if self._mark and self.codec == "utf-8" else name

    def replaced(self, spans: list[tuple[int, int]], new: str) -> bytes:
        """The file's bytes with each span of `view` (ascending, disjoint) replaced by `new`. Bytes outside the spans
        stay, and so does what a span and `new` have in common at either end; new line ends are as those around.

        Raises `WorkspaceError` when the file's encoding can't hold `new`.
        """
        pieces: list[str] = []
        done = 0
        for start, end in spans:
            old = self.view[start:end]
            head = _common(old, new)
            tail = _common(old[head:][::-1], new[head:][::-1])
            middle = new[head : len(new) - tail].replace("\n", self._line_end(start, end))
            pieces += (self._raw[done : self._place(start + head)], middle)
            done = self._place(end - tail)
        pieces.append(self._raw[done:])
        return self.encoded("".join(pieces))

    def rewritten(self, text: str) -> bytes:
        """`text` in this file's encoding, with its mark and its usual line end. Raises as `replaced` does."""
        text = text.replace("\r\n", "\n")
        crlf = len(self._raw) - len(self.view)
        if self._only_cr:
            text = text.replace("\n", "\r")
        elif crlf * 2 > self.view.count("\n"):
            text = text.replace("\n", "\r\n")
        return self.encoded(text)

    def line_at(self, place: int) -> int:
        """The 1-based line of a position in `view`."""
        return self.view.count("\n", 0, place) + 1

    def _place(self, place: int) -> int:
        """The position in the raw text."""
        return place + bisect_left(self._cr_places(), place)

    def _cr_places(self) -> list[int]:
        if self._crs is None:
            self._crs = []
            at = self._raw.find("\r\n")
            while at >= 0:
                self._crs.append(at - len(self._crs))
                at = self._raw.find("\r\n", at + 2)
        return self._crs

    def _line_end(self, start: int, end: int) -> str:
        """Of the first line that ends inside the span, else before it, else after it."""
        if self._only_cr:
            return "\r"
        at = self.view.find("\n", start, end)
        if at < 0:
            at = self.view.rfind("\n", 0, start)
        if at < 0:
            at = self.view.find("\n", end)
        if at < 0:
            return "\n"
        place = self._place(at)
        return "\r\n" if self._raw.startswith("\r\n", place) else "\n"

    def encoded(self, text: str) -> bytes:
        """`text` as it is, in this encoding. Raises as `replaced` does."""
        try:
            return self._mark + text.encode(self.codec, self._errors)
        except UnicodeEncodeError as error:
            character = text[error.start]
            line = text.count("\n", 0, error.start) + 1
            raise WorkspaceError(
                f"line {line}: the file is {self.encoding}, which can't hold {character!a}; nothing was written"
            ) from None


def decode(data: bytes) -> TextFile | None:
    """`data` as text, or None when it is binary. Whatever comes back encodes to exactly `data` again."""
    for mark, codec in _MARKS:
        if data.startswith(mark):
            file = _try(data[len(mark) :], codec, mark, "strict")
            if file or codec != "utf-8":
                return file
    if b"\0" in data[:8192]:
        return None
    file = _try(data, "utf-8", b"", "strict")
    if file is not None:
        return file
    loose = data.decode("utf-8", "surrogateescape")
    bad = sum("\udc80" <= character <= "\udcff" for character in loose)
    good = sum(character > "\x7f" for character in loose) - bad
    # Mostly UTF-8: keep it legible. Otherwise Latin-1, which maps every byte to one character and back.
    return _try(data, "utf-8", b"", "surrogateescape") if good > bad else _try(data, "latin-1", b"", "strict")


def encode_new(text: str) -> bytes:
    """The bytes of a new file. Raises `WorkspaceError` for half of a surrogate pair."""
    return TextFile("", "utf-8", b"", "strict").encoded(text)


def _try(data: bytes, codec: str, mark: bytes, errors: str) -> TextFile | None:
    try:
        raw = data.decode(codec, errors)
        faithful = raw.encode(codec, errors) == data
    except UnicodeError:
        return None
    return TextFile(raw, codec, mark, errors) if faithful else None


def _common(one: str, other: str) -> int:
    """The length of the common beginning."""
    limit = min(len(one), len(other))
    if one[:limit] == other[:limit]:
        return limit
    low, high = 0, limit
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle)
    return low
