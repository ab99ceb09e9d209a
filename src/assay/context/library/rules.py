"""Rules: instruction files for certain files. `rules/**/*.md`, with `paths:` globs in their front matter; without them
a rule is an instruction like any other."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct

from assay.context.library.frontmatter import names_of, read_document
from assay.context.library.places import Shelf, files_below
from assay.core.policy import Label


class RuleFile(Struct, frozen=True):
    path: Path
    globs: tuple[str, ...]
    label: Label


def read_rules(shelves: Iterable[Shelf], faults: list[str]) -> list[RuleFile]:
    found: list[RuleFile] = []
    for shelf in shelves:
        for path, _ in files_below(shelf, "rules"):
            document = read_document(path)
            if document.fault:
                faults.append(document.fault)
            elif document.body:
                globs = names_of(document.fields, "paths") or names_of(document.fields, "globs")
                found.append(RuleFile(path, globs, shelf.label))
    return found


def matches(glob: str, path: str) -> bool:
    """Whether `path`, relative with slashes, is one of `glob`: `*` within a name, `**` for any folders, `{a,b}` for
    either; a glob without a slash is about names anywhere."""
    return any(_matches(each, path) for each in _either(glob.strip().removeprefix("./").removeprefix("/")))


def _matches(glob: str, path: str) -> bool:
    wanted = [part for part in glob.split("/") if part]
    if len(wanted) == 1 and not glob.endswith("/"):
        wanted.insert(0, "**")
    elif glob.endswith("/"):
        wanted.append("**")
    parts = [part for part in path.split("/") if part]
    reached: set[int] = {0}
    for segment in wanted:
        if not reached:
            break
        if segment == "**":
            reached = set(range(min(reached), len(parts) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], segment)}
    return len(parts) in reached


def _either(glob: str, most: int = 64) -> list[str]:
    """The globs that `{a,b}` stands for."""
    done: list[str] = []
    left = [glob]
    while left and len(done) + len(left) <= most:
        text = left.pop(0)
        start, end = text.find("{"), text.find("}")
        if not 0 <= start < end:
            done.append(text)
            continue
        left += [text[:start] + word + text[end + 1 :] for word in text[start + 1 : end].split(",")]
    return done + left
