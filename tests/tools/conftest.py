from __future__ import annotations

from pathlib import Path

import pytest

from .double import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    root = tmp_path / "project"
    root.mkdir()
    made = Bench(root)
    made.spill = str(tmp_path / "spill")
    Path(made.spill).mkdir()
    return made
