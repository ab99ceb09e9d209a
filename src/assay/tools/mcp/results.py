"""What a call brought back, for the model: bounded, plain, and always as text by others."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

import msgspec

from assay.core.messages import Image, Json, Text
from assay.core.policy import EXTERNAL
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.bound import one_line, plain
from assay.tools.mcp.peer import rows, table, words

IMAGE = 5_000_000
"""Characters of base64 that one image may have."""
IMAGES = 20
_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_PREVIEW = 4_000
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp", "application/pdf": "pdf"}
_CHARACTERS_A_TOKEN = 3.6


def outcome_of(result: dict[str, Json], name: str, context: ToolContext, tokens: int) -> ToolOutcome:
    """The outcome of a call. Text over about `tokens` goes to a file, and its beginning to the model."""
    reader = _Reader(name, context)
    texts = [text for block in rows(result.get("content")) if (text := reader.block(table(block)))]
    structured = result.get("structuredContent")
    if structured is not None and not texts:
        texts.append(msgspec.json.format(msgspec.json.encode(structured), indent=1).decode())
    failed = result.get("isError") is True
    text = plain("\n".join(texts))
    limit = int(tokens * _CHARACTERS_A_TOKEN)
    debug: dict[str, Json] = {}
    if len(text) > limit:
        spill = reader.keep(text.encode("utf-8", "surrogatepass"), "txt")
        debug = {"spill": spill} if spill else {}
        text = _preview(text, min(limit, _PREVIEW), spill)
    content = (*((Text(text),) if text else ()), *reader.images)
    first = one_line(text, 100) if text else f"{len(reader.images)} images"
    return ToolOutcome(content, f"{name}: {first}", debug, is_error=failed, label=EXTERNAL)


def _preview(text: str, limit: int, spill: str) -> str:
    where = f"all of it: {spill}" if spill else "the rest was dropped"
    return f"{text[:limit]}\n[… {len(text):,} characters, more than fit here; {where}]"


class _Reader:
    def __init__(self, name: str, context: ToolContext):
        self._name = name
        self._context = context
        self._kept = 0
        self.images: list[Image] = []

    def block(self, block: dict[str, Json]) -> str:
        """The text of one block; an image is put aside."""
        match block.get("type"):
            case "text":
                return words(block.get("text"))
            case "image" | "audio":
                return self._binary(words(block.get("data")), words(block.get("mimeType")), words(block.get("type")))
            case "resource_link":
                about = one_line(words(block.get("description")), 200)
                named = one_line(words(block.get("name")), 100)
                return f"[resource {one_line(words(block.get('uri')), 400)} {named}] {about}".rstrip()
            case "resource":
                return self.resource(table(block.get("resource")))
            case other:
                return f"[a block of type {one_line(words(other), 40) or 'none'} was left out]"

    def resource(self, held: dict[str, Json]) -> str:
        uri = one_line(words(held.get("uri")), 400)
        if isinstance(text := held.get("text"), str):
            return f"[resource {uri}]\n{text}"
        return f"[resource {uri}] {self._binary(words(held.get('blob')), words(held.get('mimeType')), 'resource')}"

    def _binary(self, data: str, kind: str, what: str) -> str:
        kind = kind.partition(";")[0].strip().lower()
        try:
            blob = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            return f"[{what}: its data is not base64]"
        if kind in _TYPES and len(data) <= IMAGE and len(self.images) < IMAGES and blob:
            self.images.append(Image(kind, data))
            return ""
        spill = self.keep(blob, _ENDINGS.get(kind, "bin"))
        return f"[{what}, {one_line(kind, 60)}, {len(blob):,} bytes{f': {spill}' if spill else ', dropped'}]"

    def keep(self, data: bytes, ending: str) -> str:
        """Write what does not fit into a file of the session; its path, or empty when nothing may be kept."""
        if not self._context.spill:
            return ""
        self._kept += 1
        call = "".join(char for char in self._context.call if char.isalnum() or char in "-_")[:60] or "call"
        path = Path(self._context.spill) / f"{call}-{self._kept}.{ending}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except OSError:
            return ""
        return str(path)


def resource_outcome(result: dict[str, Json], name: str, context: ToolContext, tokens: int) -> ToolOutcome:
    """The outcome of reading a resource."""
    blocks = [{"type": "resource", "resource": held} for held in rows(result.get("contents"))]
    return outcome_of({"content": blocks}, name, context, tokens)
