"""Skills and custom commands: a text with a name, which a user or a model asks for.

Both are Markdown files with front matter: `skills/NAME/SKILL.md`, and `commands/DIR/NAME.md`, called `/DIR:NAME`. Only
name and description of a skill stand in the context, until it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Literal

from msgspec import Struct

from assay.context.library.frontmatter import Document, names_of, object_of, read_document, switch_of, text_of
from assay.context.library.places import Shelf, files_below
from assay.core.context import Fragment
from assay.core.messages import Json
from assay.core.policy import OPERATOR, WORKSPACE, Label

EACH = 400
"""Characters of a description that the context carries."""
LISTED = 6_000
"""Characters of the whole listing: about 1,500 tokens."""
_NAME = re.compile(r"[^\s/:\x00-\x1f\x7f][^\s/\x00-\x1f\x7f]{0,99}")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


class Skill(Struct, frozen=True):
    name: str
    kind: Literal["skill", "command"]
    body: str
    description: str = ""
    when: str = ""
    hint: str = ""
    """What arguments it takes, in words."""
    arguments: tuple[str, ...] = ()
    """Names of its arguments, in order: `$name` in the body."""
    tools: tuple[str, ...] = ()
    """Rules of calls that need no approval while it is carried out."""
    model: str = ""
    effort: str = ""
    for_user: bool = True
    """A person may call it by name."""
    for_model: bool = True
    """The model may ask for it, and it is listed."""
    fork: bool = False
    """To be carried out by a sub-agent of its own."""
    agent: str = ""
    background: bool = False
    paths: tuple[str, ...] = ()
    """Globs; it is listed when a file that one matches is read."""
    hooks: dict[str, Json] = {}
    shell: str = ""
    source: str = ""
    folder: str = ""
    digest: str = ""
    """SHA-256 of the file: by this the user may trust it."""
    shelf: Shelf = Shelf(Path(), "project")
    label: Label = WORKSPACE


def read_skills(shelves: Iterable[Shelf], faults: list[str]) -> dict[str, Skill]:
    """All skills and commands by the name they are called by; of one name the first shelf's counts, and a skill before
    a command. What can't be used is told in `faults`."""
    found: dict[str, Skill] = {}
    for shelf in shelves:
        for skill in (*_skills(shelf, faults), *_commands(shelf, faults)):
            found.setdefault(skill.name, skill)
    return found


def _skills(shelf: Shelf, faults: list[str]) -> Iterable[Skill]:
    for path, _ in files_below(shelf, "skills", "SKILL.md", deep=4):
        if (skill := _read(path, path.parent.name, "skill", shelf, faults)) is not None:
            yield skill


def _commands(shelf: Shelf, faults: list[str]) -> Iterable[Skill]:
    for path, folders in files_below(shelf, "commands"):
        name = ":".join((*folders, path.stem))
        if (command := _read(path, name, "command", shelf, faults)) is not None:
            yield command


def _read(path: Path, default: str, kind: Literal["skill", "command"], shelf: Shelf, faults: list[str]) -> Skill | None:
    document = read_document(path)
    if document.fault:
        faults.append(document.fault)
        return None
    name = default
    if kind == "skill" and (given := text_of(document.fields, "name")):
        name = given
    if not all(_NAME.fullmatch(part) for part in name.split(":")):
        faults.append(f"{path}: '{name[:60]!a}' can't be called by that name: letters, digits, - and _")
        return None
    if not document.body and not document.fields:
        return None
    return _made(path, name, kind, shelf, document)


def _made(path: Path, name: str, kind: Literal["skill", "command"], shelf: Shelf, document: Document) -> Skill:
    fields = document.fields
    description = _clean(text_of(fields, "description")) or _first_line(document.body)
    for_model = not switch_of(fields, "disable-model-invocation", default=False)
    return Skill(
        shelf.named(name),
        kind,
        document.body,
        description,
        _clean(text_of(fields, "when_to_use") or text_of(fields, "when-to-use")),
        _hint(fields),
        names_of(fields, "arguments"),
        names_of(fields, "allowed-tools"),
        text_of(fields, "model"),
        text_of(fields, "effort"),
        switch_of(fields, "user-invocable", default=True),
        # A command without a description says nothing to a model that has only its name to go by.
        for_model and (kind == "skill" or bool(text_of(fields, "description"))),
        text_of(fields, "context") == "fork",
        text_of(fields, "agent"),
        switch_of(fields, "background", default=False),
        names_of(fields, "paths"),
        object_of(fields.get("hooks")),
        text_of(fields, "shell"),
        str(path),
        str(path.parent),
        _digest(path),
        shelf,
        shelf.label,
    )


def _hint(fields: dict[str, Json]) -> str:
    value = fields.get("argument-hint")
    # `argument-hint: [file]` is a list to YAML and a text to whoever wrote it.
    return f"[{' '.join(names_of(fields, 'argument-hint'))}]" if isinstance(value, list) else _clean(str(value or ""))


def _digest(path: Path) -> str:
    try:
        return f"sha256:{sha256(path.read_bytes()).hexdigest()}"
    except OSError:
        return ""


def _first_line(body: str) -> str:
    line = next((line for line in body.splitlines() if line.strip()), "")
    return _clean(line.lstrip("# "))[:200]


def _clean(text: str) -> str:
    """One line without what can't be seen: it is shown to people and models as a list entry."""
    return " ".join(_FORBIDDEN.sub("", text).split())


def listing(skills: Iterable[Skill]) -> Fragment | None:
    """What the model is told of the skills that it may ask for; None when there are none. What does not fit is told."""
    shown = [skill for skill in skills if skill.for_model and not skill.paths]
    if not shown:
        return None
    label = OPERATOR
    lines: list[str] = []
    bare: list[str] = []
    room = LISTED
    for skill in shown:
        label = label.join(skill.label)
        line = entry(skill)
        if len(line) > room:
            bare.append(skill.name)
            continue
        room -= len(line) + 1
        lines.append(line)
    if bare:
        names = ", ".join(bare)
        names = names if len(names) <= 1_000 else f"{names[:1_000]} ..."
        lines.append(f"[... {len(bare)} more, not described for lack of room: {names}]")
    text = "Skills, to be loaded with the Skill tool before doing what they are for:\n" + "\n".join(lines)
    return Fragment("instructions", f"<skills>\n{text}\n</skills>", "skills", bool(bare), label)


def entry(skill: Skill) -> str:
    """One skill in a list."""
    said = " ".join(part for part in (skill.description, skill.when) if part)
    if len(said) > EACH:
        said = f"{said[:EACH]} [... cut]"
    return f"- {skill.name}: {said}" if said else f"- {skill.name}"
