"""The WebFetch tool: one page as text. Whatever it says is external."""

from msgspec import Struct

from assay.core.errors import InvalidArguments
from assay.core.ids import new_id
from assay.core.messages import Image, Json, Text
from assay.core.policy import EXTERNAL, Effect
from assay.core.tool import ToolContext, ToolOutcome, failed
from assay.core.web import Page, Web, WebError, host_of
from assay.tools.bound import keep, one_line, visible
from assay.tools.schema import read_arguments, tool_spec

BYTES = 2_000_000
SHOWN = 20_000
"""Characters."""
IMAGE_BYTES = 3_750_000
_SECONDS = 5.0
_TEXTS = ("text/", "application/json", "application/xml", "application/javascript", "application/x-yaml")
_ERROR = 2_000


class WebFetchArguments(Struct, forbid_unknown_fields=True):
    url: str
    prompt: str = ""


class WebFetchTool:
    def __init__(self, web: Web) -> None:
        self.spec = tool_spec("WebFetch", WebFetchArguments)
        self._web = web

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("WebFetch", arguments, WebFetchArguments)
        try:
            return (Effect("network", host_of(asked.url)),)
        except WebError as error:
            raise InvalidArguments(f"WebFetch: url: {error}") from None

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("WebFetch", arguments, WebFetchArguments)
        try:
            page = await self._web.get(asked.url.strip(), BYTES)
        except WebError as error:
            return failed(visible(str(error)), one_line(str(error)), EXTERNAL)
        debug: dict[str, Json] = {"status": page.status, "bytes": len(page.data), "url": page.url}
        if page.redirect:
            there = one_line(page.redirect, 2_000)
            text = f"{page.url} sends on to another host: {there}\nFetch that address if it is what you want."
            return ToolOutcome((Text(text),), one_line(f"WebFetch: sent on to {there}"), debug, label=EXTERNAL)
        display = one_line(f"WebFetch {page.url}: {page.status}, {len(page.data):,} bytes")
        try:
            title, text = _read(page)
        except WebError as error:
            return failed(f"{page.url}: {error}", display, EXTERNAL)
        if page.status >= 400:
            said = visible(text[:_ERROR])
            message = f"{page.url}: the host answered {page.status}\n{said}".rstrip()
            return ToolOutcome((Text(message),), display, debug, is_error=True, label=EXTERNAL)
        if image := _image(page):
            return ToolOutcome((image,), display, debug, label=EXTERNAL)
        from assay.tools.relevant import relevant

        clean = visible(text)
        shown = relevant(clean, asked.prompt, SHOWN)
        notes = ["only the first part of the page was taken"] if page.cut else []
        if shown != clean:
            where = keep(f"{context.spill}/{new_id()}.md", clean) if context.spill else ""
            notes.append(f"{len(clean) - len(shown):,} characters left out{f'; all of it: {where}' if where else ''}")
            debug |= {"spill": where} if where else {}
        head = f"{page.url}{f' — {one_line(title)}' if title else ''}"
        body = "\n\n".join((head, shown.strip() or "(no text)"))
        return ToolOutcome((Text(f"{body}\n[{'; '.join(notes)}]" if notes else body),), display, debug, label=EXTERNAL)


def _image(page: Page) -> Image | None:
    from base64 import b64encode

    from assay.tools.kinds import image_type

    kind = image_type(page.data)
    whole = kind and not page.cut and len(page.data) <= IMAGE_BYTES
    return Image(kind, b64encode(page.data).decode("ascii")) if whole else None


def _read(page: Page) -> tuple[str, str]:
    """Title and text. Raises `WebError` for what is neither text nor an image."""
    from assay.tools.kinds import image_type, kind_of
    from assay.tools.patience import TooSlow, bounded

    if image_type(page.data):
        return "", ""
    named = page.media_type.startswith(_TEXTS) or page.media_type.endswith(("+json", "+xml"))
    if b"\0" in page.data[:8192] or (not named and page.media_type and not _utf8(page.data[:8192])):
        raise WebError(f"{kind_of(page.data)}, {len(page.data):,} bytes ({page.media_type or 'of no kind'}); not text")
    text = _decoded(page)
    start = text[:1_000].lstrip().lower()
    if "html" not in page.media_type and (page.media_type or not start.startswith(("<!doctype html", "<html"))):
        return "", text
    from assay.tools.markdown import to_markdown

    try:
        with bounded(_SECONDS):
            return to_markdown(text, page.url)
    except (TooSlow, AssertionError, RecursionError) as error:
        raise WebError("the page is too tangled to be read") from error


def _utf8(data: bytes) -> bool:
    try:
        data[: len(data) - 4 if len(data) > 4 else len(data)].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(data) - 8
    return True


def _decoded(page: Page) -> str:
    import re

    named = re.search(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{2,40})", page.data[:4_096], re.IGNORECASE)
    for charset in (page.charset, named[1].decode("ascii", "replace") if named else "", "utf-8"):
        try:
            if charset:
                return page.data.decode(charset, "replace")
        except (LookupError, UnicodeError, ValueError):
            continue
    return page.data.decode("utf-8", "replace")
