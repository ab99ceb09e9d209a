"""Variables that people have set for the `claude` command: what they change here, and that nonsense changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.app.compose import open_task
from assay.app.task import Wish
from assay.app.variables import on, whole
from assay.core.errors import UsageError


def wish(tmp_path: Path, **environ: str) -> Wish:
    base = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "K": "k"}
    return Wish(
        tmp_path, base | environ, model="m", base_url="http://127.0.0.1:9", dialect="anthropic", api_key_env="K",
        no_sandbox=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number", "said"),
    [("5", 5, False), ("1", 1, True), ("true", None, True), ("0", None, False), ("-1", None, False), ("", None, False),
     ("9" * 30, None, False), ("٣", None, False), ("YES", None, True), ("off", None, False)],
)  # fmt: skip
def test_how_they_are_read(text: str, number: int | None, said: bool) -> None:
    assert (whole({"X": text}, "X"), on({"X": text}, "X")) == (number, said)
    assert (whole({}, "X"), on({}, "X")) == (None, False)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "milliseconds, at most 600000"),
        ({"BASH_DEFAULT_TIMEOUT_MS": "5000"}, "milliseconds (5000), at most 600000"),
        ({"BASH_DEFAULT_TIMEOUT_MS": "900000"}, "milliseconds (900000), at most 900000"),
        ({"BASH_MAX_TIMEOUT_MS": "60000"}, "milliseconds (60000), at most 60000"),
        ({"BASH_DEFAULT_TIMEOUT_MS": "soon", "BASH_MAX_TIMEOUT_MS": "0"}, "milliseconds, at most 600000"),
    ],
)
async def test_how_long_commands_may_take(tmp_path: Path, environ: dict[str, str], told: str) -> None:
    async with open_task(wish(tmp_path, **environ)) as task:
        assert told in str(task.run.tools["Bash"].spec.parameters)


@pytest.mark.parametrize(
    ("environ", "compaction"),
    [({}, "auto"), ({"DISABLE_AUTO_COMPACT": "1"}, "asked"), ({"DISABLE_COMPACT": "true"}, "never"),
     ({"DISABLE_COMPACT": "0", "DISABLE_AUTO_COMPACT": "no"}, "auto")],
)  # fmt: skip
async def test_when_it_compacts(tmp_path: Path, environ: dict[str, str], compaction: str) -> None:
    async with open_task(wish(tmp_path, **environ)) as task:
        assert task.run.options.compaction == compaction
        assert task.context_usage()["isAutoCompactEnabled"] == (compaction == "auto")
        if compaction == "never":
            with pytest.raises(UsageError, match="DISABLE_COMPACT"):
                await task.compact()
        else:
            assert not await task.compact()
