"""One way to the outline of a file, whatever language it is in."""

from __future__ import annotations

from assay.repair.outline.symbols import LARGEST, Outline

LANGUAGES: dict[str, str] = {
    **dict.fromkeys(("py", "pyi"), "python"),
    **dict.fromkeys(("js", "jsx", "mjs", "cjs"), "javascript"),
    **dict.fromkeys(("ts", "mts", "cts"), "typescript"),
    "tsx": "tsx",
    "go": "go",
    "rs": "rust",
    "java": "java",
    **dict.fromkeys(("c", "h"), "c"),
    **dict.fromkeys(("cc", "cpp", "cxx", "hh", "hpp", "hxx"), "cpp"),
    "rb": "ruby",
    "php": "php",
}
"""What follows the last dot of a file's name -> its language."""
LONG_LINE = 400
"""Characters of a file for each of its lines, on average, from which on a program wrote it."""


def language_of(path: str) -> str:
    """The language of a file by its name; "" for one that is not known here."""
    return LANGUAGES.get(path.rsplit("/", 1)[-1].rpartition(".")[2].lower(), "")


def outline(path: str, text: str) -> Outline:
    """What the file `path` with this `text` holds. Never raises; nothing for what can't be read (`Outline.how`)."""
    language = language_of(path)
    if not language or len(text) > LARGEST or len(text) > LONG_LINE * (text.count("\n") + 10):
        return Outline()
    if language == "python":
        from assay.repair.outline.python import symbols_of

        found = symbols_of(text)
        return Outline() if found is None else Outline(found, "tree")
    from assay.repair.outline import grammars

    found = grammars.symbols_of(language, text)
    if found is not None:
        return Outline(found, "grammar")
    from assay.repair.outline import patterns

    return Outline(patterns.symbols_of(language, text), "patterns")
