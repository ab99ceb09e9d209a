"""What joins a session as it goes: texts that come with a prompt, and instructions for files once these are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay.app.library import Library
from assay.context.instructions import Reader
from assay.core.context import Fragment
from assay.core.events import ContextAdded, Noticed
from assay.core.messages import Json
from assay.core.policy import OPERATOR
from assay.loop.turn import Answered, Inject, Middleware, Stop
from assay.run.run import Run

if TYPE_CHECKING:
    from assay.context.nested import Late, Nested


class Companion(Middleware):
    """Records, between steps, what `library` has pending, and what there is to say about files that were read."""

    def __init__(self, run: Run, library: Library, reader: Reader, directory: Path) -> None:
        self._run = run
        self._library = library
        self._reader = reader
        self._directory = directory
        self._nested: Nested | None = None
        self._session = ""
        self._told = 0

    async def before_step(self) -> Stop | Inject | None:
        if self._session != self._run.parts.store.session:
            self._session, self._nested = self._run.parts.store.session, None
            for fragment in self._run.options.instructions:
                await self._loaded(fragment, "session_start")
        if self._run is self._library.task.run:
            self._library.record_pending()
        return None

    async def after_calls(self, answered: Sequence[Answered]) -> Stop | Inject | None:
        for _, finished in answered:
            for path in finished.seen:
                for late in self._about(path):
                    each = late.fragment
                    self._run.record(ContextAdded(each.owner, each.text, each.source, each.label))
                    await self._loaded(each, late.reason, late.globs)
                self._tell_skills(path)
        if self._nested:
            self._meet(self._nested)
        return None

    def _tell_skills(self, path: str) -> None:
        """Skills that are for files such as this one, once each."""
        if "Skill" not in self._run.tools:
            return
        from assay.context.library.skills import entry

        for skill in self._library.about(path, self._run.state.sources):
            text = f"<skills>\nFor {path} there is a skill:\n{entry(skill)}\n</skills>"
            self._run.record(ContextAdded("instructions", text, f"skill {skill.name}", skill.label))

    def _about(self, path: str) -> list[Late]:
        if self._nested is None:
            if "/" not in path and not any((shelf.path / "rules").is_dir() for shelf in self._reader.reach.shelves):
                return []
            from assay.context.nested import Nested

            given = (source for _, source in self._run.state.sources)
            self._nested = Nested(self._directory, self._reader, given)
        return self._nested.about(path)

    def _meet(self, nested: Nested) -> None:
        """Skills of folders that came into view."""
        notices, nested.faults[:] = list(nested.faults), []
        notices += self._reader.notices[self._told :]
        self._told = len(self._reader.notices)
        if nested.shelves:
            from assay.context.library.skills import listing, read_skills

            found = read_skills(nested.shelves, notices)
            nested.shelves.clear()
            new = [skill for name, skill in found.items() if name not in self._library.stock.skills]
            self._library.stock.skills |= {skill.name: skill for skill in new}
            shown = listing(skill for skill in new if not self._library.denies(skill.name))
            if shown and "Skill" in self._run.tools:
                self._run.record(ContextAdded(shown.owner, shown.text, shown.source, shown.label))
        for notice in notices:
            self._run.record(Noticed(notice))

    async def _loaded(self, fragment: Fragment, reason: str, globs: tuple[str, ...] = ()) -> None:
        """`InstructionsLoaded`, for a file and what it imports."""
        hooks = self._run.parts.hooks
        if hooks is None or fragment.owner not in ("instructions", "rules") or not hooks.listens("InstructionsLoaded"):
            return
        kind = "User" if fragment.label == OPERATOR else "Local" if fragment.source.endswith(".local.md") else "Project"
        files = [(fragment.source, reason)]
        files += [(str(path), "include") for path, by in self._reader.imported.items() if str(by) == fragment.source]
        for path, why in files:
            if not Path(path).is_absolute():
                continue
            data: dict[str, Json] = {"file_path": path, "memory_type": kind, "load_reason": why}
            await hooks.fire("InstructionsLoaded", why, data | ({"globs": list(globs)} if globs else {}))
