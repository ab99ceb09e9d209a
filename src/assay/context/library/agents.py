"""Kinds of sub-agents from files: `agents/NAME.md` of the user, the project and plugins."""

from __future__ import annotations

from collections.abc import Iterable

from assay.context.library.frontmatter import read_document, text_of
from assay.context.library.places import Shelf, files_below
from assay.core.agents import AgentDefinition, read_agent
from assay.core.errors import UsageError


def read_agents(shelves: Iterable[Shelf], faults: list[str]) -> list[AgentDefinition]:
    """The definitions in the order of the shelves; `core.agents.merge_agents` settles names. A file without a `name` is
    no definition (a README, say); one that is wrong is told in `faults`."""
    found: list[AgentDefinition] = []
    for shelf in shelves:
        for path, _ in files_below(shelf, "agents"):
            document = read_document(path)
            if document.fault:
                faults.append(document.fault)
                continue
            name = text_of(document.fields, "name")
            if not name:
                continue
            try:
                fields = {**document.fields, "prompt": document.body}
                found.append(read_agent(shelf.named(name), fields, shelf.owner, str(path)))
            except UsageError as error:
                faults.append(f"{path}: {error}")
    return found
