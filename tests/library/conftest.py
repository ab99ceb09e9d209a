from __future__ import annotations

from tests.e2e.conftest import hearing, place, serve

__all__ = ["hearing", "place", "serve"]
