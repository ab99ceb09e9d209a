"""Output styles: texts that say how the model should answer, put behind the system text or in its place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from assay.context.library.frontmatter import Document, read_document, switch_of, text_of
from assay.context.library.places import Shelf, files_below

DEFAULT = "default"
CAP = 16_000
"""Characters of a style that go into the system text."""


class OutputStyle(Struct, frozen=True):
    name: str
    description: str = ""
    text: str = ""
    keeps_ours: bool = True
    """It follows our own system text instead of replacing it."""
    forced: bool = False
    """A plugin's, which holds while that plugin is enabled and nothing else was said."""
    source: str = ""
    trusted: bool = True
    """The user's own or a plugin's that the user installed: the project's may only add to the system text."""


def read_styles(shelves: Iterable[Shelf], faults: list[str]) -> dict[str, OutputStyle]:
    """All styles by name: ours, then those of the shelves; of one name the first counts, but ours yield."""
    found: dict[str, OutputStyle] = {}
    for shelf in shelves:
        for path, _ in files_below(shelf, "output-styles", deep=1):
            document = read_document(path)
            if document.fault:
                faults.append(document.fault)
                continue
            style = _made(path, document, shelf)
            found.setdefault(style.name, style)
    built_in = {DEFAULT: OutputStyle(DEFAULT, "Works and answers as assay does by itself")}
    for path in sorted(Path(__file__).with_name("styles").glob("*.md")):
        style = _made(path, read_document(path), None)
        built_in[style.name] = style
    return {**built_in, **found}


def _made(path: Path, document: Document, shelf: Shelf | None) -> OutputStyle:
    fields = document.fields
    name = text_of(fields, "name") or path.stem
    return OutputStyle(
        shelf.named(name) if shelf else name,
        text_of(fields, "description"),
        document.body[:CAP],
        switch_of(fields, "keep-coding-instructions", default=False),
        bool(shelf and shelf.plugin) and switch_of(fields, "force-for-plugin", default=False),
        str(path) if shelf else "",
        shelf is None or shelf.owner != "project",
    )


def styled(system: str, style: OutputStyle) -> str:
    """The system text with `style`. A style of the project that the user did not write never replaces ours."""
    if not style.text:
        return system
    if style.keeps_ours or not style.trusted:
        return "\n\n".join(part for part in (system, style.text) if part)
    return style.text
