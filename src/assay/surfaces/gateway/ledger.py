"""Who used which model, and what it cost: sums since the gateway was started."""

from __future__ import annotations

from msgspec import Struct

from assay.core.messages import AssistantMessage, Json
from assay.core.model import Profile


class Line(Struct):
    requests: int = 0
    failures: int = 0
    cancelled: int = 0
    """The client left before the reply was whole; what such a reply cost, no provider tells."""
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    dollars: float = 0.0
    unpriced: int = 0
    """Replies of a model whose price is not known; they are not in `dollars`."""

    def add(self, message: AssistantMessage, profile: Profile) -> None:
        usage = message.usage
        self.failures += message.failure is not None
        self.input += usage.input
        self.cache_read += usage.cache_read
        self.cache_write += usage.cache_write
        self.output += usage.output
        self.reasoning += usage.reasoning
        if profile.price:
            self.dollars += profile.price.cost(usage)
        else:
            self.unpriced += 1


class Ledger:
    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}

    def line(self, model: str, key: str) -> Line:
        return self._lines.setdefault((model, key), Line())

    def told(self) -> dict[str, Json]:
        """`rows` by model and key, and the sum of all."""
        rows: list[Json] = [
            {"model": model, "key": key, **_fields(line)} for (model, key), line in sorted(self._lines.items())
        ]
        total = Line()
        for line in self._lines.values():
            for name in Line.__struct_fields__:
                setattr(total, name, getattr(total, name) + getattr(line, name))
        return {"rows": rows, "total": _fields(total)}


def _fields(line: Line) -> dict[str, Json]:
    return {name: getattr(line, name) for name in Line.__struct_fields__}
