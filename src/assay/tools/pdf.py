"""Text of PDF documents, page by page: by the library pypdf, or by the program pdftotext."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from assay.core.errors import InvalidArguments, WorkspaceError
from assay.core.workspace import Command, Workspace
from assay.tools.bound import plain
from assay.tools.patience import TooSlow, bounded

if TYPE_CHECKING:
    from pypdf import PdfReader

PAGES = 20
"""Pages of one call."""
_PAGE_SECONDS = 5.0
_SECONDS = 60.0
_KEPT = 400_000
_RANGE = re.compile(r"\s*(\d{1,6})\s*(?:(-)\s*(\d{1,6})?)?\s*")
_INSTALL = "pip install 'assay[documents]', or install pdftotext (poppler-utils)"


class Pages(NamedTuple):
    text: str
    first: int
    last: int
    total: int
    """0 when it is not known."""


def page_range(pages: str) -> tuple[int, int]:
    """First and last page of `3`, `2-5` or `8-`; everything for an empty text. Raises `InvalidArguments`."""
    if not pages.strip():
        return 1, 10**6
    match = _RANGE.fullmatch(pages)
    first = int(match[1]) if match else 0
    last = (int(match[3]) if match[3] else 10**6 if match[2] else first) if match else 0
    if not 1 <= first <= last:
        raise InvalidArguments(f"Read: pages: expected 3, 2-5 or 8-, got {pages[:40]!r}")
    return first, last


async def pdf_text(path: str, data: bytes, wanted: tuple[int, int], room: int, workspace: Workspace) -> Pages:
    """The text of the wanted pages, of `PAGES` at most, as far as `room` characters go. `path` is where `data` lies.

    Raises `WorkspaceError` in one line for a file that can't be read, and when there is nothing to read it with.
    """
    first, last = wanted[0], min(wanted[1], wanted[0] + PAGES - 1)
    reader = _opened(path, data)
    if reader is not None:
        total = _total(path, reader)
        if first > total:
            return Pages(f"(the document has {total} pages)", first, first - 1, total)
        texts = _read(path, reader, first, min(last, total))
    else:
        total = 0
        texts = _printed(path, first, last, workspace)
    parts: list[str] = []
    number = first - 1
    async with aclosing(texts):
        async for text in texts:
            clean = plain(text).strip() or "(no text; it may be a scan)"
            part = f"== page {number + 1}\n{clean}"
            if parts and len(part) > room:
                break
            parts.append(part if len(part) <= room else part[:room] + "\n[… the rest of this page left out]")
            room -= len(part)
            number += 1
    if not parts:
        raise WorkspaceError(f"{path}: there is no page {first}")
    return Pages("\n".join(parts), first, number, total)


def _opened(path: str, data: bytes) -> PdfReader | None:
    """None without the library. Raises `WorkspaceError`."""
    try:
        import pypdf
    except ImportError:
        return None
    import io
    import logging

    # It tells of every oddity of a document, and would do so on the terminal.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        with bounded(_PAGE_SECONDS):
            reader = pypdf.PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise WorkspaceError(f"{path}: the PDF needs a password")
    except WorkspaceError:
        raise
    except Exception as error:  # what a broken file makes of a parser has no common kind
        raise _broken(path, error) from error
    return reader


def _total(path: str, reader: PdfReader) -> int:
    try:
        with bounded(_PAGE_SECONDS):
            return len(reader.pages)
    except Exception as error:
        raise _broken(path, error) from error


async def _read(path: str, reader: PdfReader, first: int, last: int) -> AsyncGenerator[str]:
    for number in range(first - 1, last):
        await asyncio.sleep(0)
        try:
            with bounded(_PAGE_SECONDS):
                text = reader.pages[number].extract_text()
        except Exception as error:
            raise _broken(f"{path}, page {number + 1}", error) from error
        yield text


def _broken(where: str, error: Exception) -> WorkspaceError:
    why = "it takes too long" if isinstance(error, TooSlow) else str(error) or type(error).__name__
    return WorkspaceError(f"{where}: can't be read as PDF: {why[:200]}")


async def _printed(path: str, first: int, last: int, workspace: Workspace) -> AsyncGenerator[str]:
    from shutil import which

    program = which("pdftotext")
    if program is None:
        raise WorkspaceError(f"{path}: a PDF; to read its text, {_INSTALL}")
    argv = (program, "-q", "-layout", "-enc", "UTF-8", "-f", str(first), "-l", str(last), "--", path, "-")
    result = await workspace.run(Command(argv, timeout=_SECONDS, limit=_KEPT, read_only=True))
    if result.exit_code:
        raise WorkspaceError(
            f"{path}: pdftotext: {' '.join(result.output.split())[:200] or f'exit {result.exit_code}'}"
        )
    for text in result.output.removesuffix("\f").split("\f"):
        yield text
