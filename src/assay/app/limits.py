"""The setting `limits`: what one confined command may use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict, fields

from assay.core.errors import UsageError

if TYPE_CHECKING:
    from assay.workspace.sandbox.port import Limits

_LEAST = {"memory": 64 << 20, "processes": 16, "file_size": 1 << 20, "scratch": 1 << 20}
"""With less, shells and interpreters don't start."""
_MOST = 1 << 50
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class CommandLimits(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Sizes are numbers of bytes, or texts such as `8G` (K, M, G, T: powers of 1024). None for what the machine can
    spare."""

    memory: int | str | None = None
    processes: int | None = None
    file_size: int | str | None = None
    scratch: int | str | None = None

    def read(self, where: str) -> CommandLimits:
        """The same in numbers. Raises `UsageError`; `where` is the file."""
        return CommandLimits(
            **{
                field.name: _number(getattr(self, field.name), field.name, f"{where}: limits.{field.encode_name}")
                for field in fields(self)
            }
        )

    def over(self, weak: CommandLimits) -> CommandLimits:
        """These, and those of `weak` where nothing is said here."""
        return CommandLimits(**{**asdict(weak), **_said(self)})

    def at_most(self, base: CommandLimits) -> CommandLimits:
        """These, where they are lower than `base`, or than the machine's where `base` says nothing."""
        most = _limits(base)._asdict()
        return CommandLimits(**{name: min(value, most[name]) for name, value in _said(self).items()})


def limits_of(asked: CommandLimits) -> Limits | None:
    """None when nothing was asked for. `asked` was read."""
    return _limits(asked) if _said(asked) else None


def _limits(asked: CommandLimits) -> Limits:
    from assay.workspace.sandbox.port import machine_limits

    limits = machine_limits()._replace(**_said(asked))
    # Scratch directories live in memory.
    return limits if asked.scratch is not None else limits._replace(scratch=min(limits.scratch, limits.memory))


def _said(limits: CommandLimits) -> dict[str, int]:
    return {name: value for name, value in asdict(limits).items() if isinstance(value, int)}


def _number(value: int | str | None, name: str, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        found = re.fullmatch(r"([0-9]{1,16})([KMGT]?)", value)
        if not found:
            raise UsageError(f"{where}: '{value[:40]}' is not a size: expected bytes, or a text such as 512M or 8G")
        value = int(found[1]) * _UNITS[found[2]]
    if not _LEAST[name] <= value <= _MOST:
        raise UsageError(f"{where}: {value} is out of range: expected {_LEAST[name]} to {_MOST}")
    return value
