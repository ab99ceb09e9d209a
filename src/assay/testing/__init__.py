"""Doubles and conformance suites for whoever builds on assay: models without a provider, a workspace without a disk,
time without waiting. The product itself never imports this package; each name is loaded when it is first used.

The suites in `assay.testing.conformance` are plain test classes for pytest: subclass one and give it its fixtures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.testing.clock import FakeClock as FakeClock
    from assay.testing.models import ChaosModel as ChaosModel
    from assay.testing.models import FunctionModel as FunctionModel
    from assay.testing.models import ReplayModel as ReplayModel
    from assay.testing.models import ScriptedModel as ScriptedModel
    from assay.testing.models import call as call
    from assay.testing.models import collect as collect
    from assay.testing.models import reply as reply
    from assay.testing.store import MemoryStore as MemoryStore

_PLACES = {
    "ChaosModel": "models",
    "FakeClock": "clock",
    "FunctionModel": "models",
    "MemoryStore": "store",
    "MemoryWorkspace": "memory_workspace",
    "ReplayModel": "models",
    "ScriptedModel": "models",
    "ScriptedServer": "server",
    "call": "models",
    "collect": "models",
    "reply": "models",
}


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{place}"), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
