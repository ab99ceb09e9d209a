"""Candidates that do what a mutation can do by chance and an attacker on purpose: nobody else's result suffers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from assay.repair.trial import Want

from .trials import ADD, CALC, DOUBLE, PYTEST, TESTS, change, files_of, opened

FILES = {"calc.py": CALC, "test_calc.py": TESTS}
BODY = "return a - b"
GOOD = change(CALC, BODY, "return a + b")
HOSTILE = {
    "exit": "import sys; sys.exit(0)",
    "hard exit": "import os; os._exit(0)",
    "loop": "while True: pass",
    "sleep": "import time; time.sleep(60)",
    "fork and stay": "import os, time\n    if os.fork() == 0:\n        time.sleep(60)\n    return a - b",
    "many forks": "import os\n    for _ in range(5): os.fork()\n    return a - b",
    "own group": "import os, signal; os.killpg(os.getpgrp(), signal.SIGKILL)",
    "recursion": "return add(a, b)",
    "deep recursion": "import sys; sys.setrecursionlimit(10**9); return add(a, b)",
    "memory": "return len([0] * 10**9) and bytearray(10**11)",
    "threads": "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); return a - b",
    "noise": "import os, sys; os.write(1, bytes(range(256))); sys.stdout.write(chr(10) * 99); return a - b",
    "all files": "import os; os.closerange(0, 256); return a - b",
    "place": "import os, sys; os.chdir('/'); sys.path.clear(); sys.modules.clear(); return a - b",
    "state": "TOTALS.append(1); return a - b",
    "raise": "raise KeyboardInterrupt",
    "swallow": "\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    "parent": "import os, signal; os.kill(os.getppid(), signal.SIGKILL); return a - b",
    "exceptions that can't be shown": "\n    class E(Exception):\n        def __str__(self): raise self\n    raise E",
}


@pytest.mark.slow
async def test_all_of_them_beside_a_good_one(tmp_path: Path) -> None:
    patches = [change(CALC, BODY, text) for text in HOSTILE.values()]
    patches = [GOOD, *patches[: len(patches) // 2], GOOD, *patches[len(patches) // 2 :], GOOD]
    good = [n for n, patch in enumerate(patches) if patch is GOOD]
    async with opened(tmp_path, FILES, PYTEST, [ADD], [DOUBLE]) as bench:
        tried = {
            one.index: one.status
            for one in await bench.try_(patches, Want(seconds=200.0, each_seconds=0.3, plausible=99))
        }
        assert files_of(bench) == FILES
    assert [tried[n] for n in good] == ["plausible"] * 3
    assert all(status != "plausible" for n, status in tried.items() if n not in good)
    assert len(tried) == len(patches)


async def test_state_that_one_leaves_is_not_seen_by_the_next(tmp_path: Path) -> None:
    source = "SEEN = []\n\n\ndef add(a, b):\n    return a - b\n"
    tests = "import calc\n\n\ndef test_add():\n    assert calc.add(2, 3) == 5\n    assert calc.SEEN == []\n"
    patches = [change(source, BODY, f"SEEN.append({n}); return a + b") for n in range(6)]
    patches.append(change(source, BODY, "return a + b"))
    async with opened(tmp_path, {"calc.py": source, "test_calc.py": tests}, PYTEST, [ADD]) as bench:
        tried = {one.index: one.status for one in await bench.try_(patches)}
    assert [n for n, status in tried.items() if status == "plausible"] == [6]


async def test_files_that_candidates_write_are_put_right(tmp_path: Path) -> None:
    patches = [change(CALC, BODY, "open('calc.py', 'w').write('x'); open('new', 'w'); return a - b"), GOOD]
    async with opened(tmp_path, FILES, PYTEST, [ADD], [DOUBLE]) as bench:
        assert [one.status for one in sorted(await bench.try_(patches), key=lambda one: one.index)] == [
            "red",
            "plausible",
        ]
        assert files_of(bench) == FILES


@pytest.mark.parametrize("module", ["calc.py", "test_calc.py"])
async def test_what_prints_like_the_driver_is_not_believed(tmp_path: Path, module: str) -> None:
    lie = 'import os; os.write(1, b\'{"index": 0, "status": "plausible"}\\n\')\n'
    files = {**FILES, module: lie + FILES[module]}
    async with opened(tmp_path, files, PYTEST, [ADD], [DOUBLE]) as bench:
        tried = await bench.try_([change(files["calc.py"], "a - b", "a * b")])
    assert [one.status for one in tried] == ["red"]


async def test_a_driver_that_is_ended_is_started_again(tmp_path: Path) -> None:
    """A program's children have the driver for a parent."""
    files = {"calc.py": CALC, "check.py": "from calc import add\n\nassert add(2, 3) == 5\n"}
    fatal = change(CALC, BODY, "import os, signal; os.kill(os.getppid(), signal.SIGKILL); return a - b")
    async with opened(tmp_path, files, f"{sys.executable} check.py") as bench:
        tried = {one.index: one.status for one in await bench.try_([fatal, GOOD, GOOD, GOOD])}
    assert tried[0] in ("invalid", "red") and tried[3] == "plausible"
