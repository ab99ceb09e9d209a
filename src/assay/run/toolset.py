"""The tools of a run: all that can be called, and which of them the model is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from assay.core.model import ToolSpec
from assay.core.tool import Tool


class Toolset(Mapping[str, Tool]):
    """Live: tools come and go with the servers that offer them. Deferred ones are left out of requests until a call
    loads them (`ToolOutcome.loads`); they can be called all the same."""

    def __init__(self, tools: Iterable[Tool] = (), deferred: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        self._deferred: set[str] = set()
        for tool in tools:
            self.add(tool)
        for tool in deferred:
            self.add(tool, deferred=True)

    def add(self, tool: Tool, *, deferred: bool = False) -> None:
        """Offer `tool`; one of the same name is replaced where it stands."""
        self._tools[tool.spec.name] = tool
        (self._deferred.add if deferred else self._deferred.discard)(tool.spec.name)

    def remove(self, name: str) -> None:
        self._tools.pop(name, None)
        self._deferred.discard(name)

    @property
    def deferred(self) -> list[Tool]:
        """The tools that requests leave out unless loaded, in the order they were added."""
        return [tool for name, tool in self._tools.items() if name in self._deferred]

    def specs(self, loaded: Iterable[str] = ()) -> tuple[ToolSpec, ...]:
        """What a request carries: tools in the order they were added, then those of `loaded` in its order, so that
        loading one more only adds at the end."""
        shown = [name for name in self._tools if name not in self._deferred]
        shown += [name for name in loaded if name in self._deferred]
        return tuple(self._tools[name].spec for name in shown)

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)
