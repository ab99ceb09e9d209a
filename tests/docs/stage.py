"""Where the examples of the documentation are played: a home, a small project with a bug, and a scripted model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from assay.testing.server import Call, Reply, SeenRequest

ROOT = Path(__file__).parent.parent.parent
HOME = "/home/ada"
"""What the pages show instead of the real home directory."""

CODE = '''\
def mean(values):
    """The arithmetic mean of a list of numbers."""
    return sum(values) / (len(values) - 1)
'''
TEST = """\
import unittest

from calc import mean


class MeanTest(unittest.TestCase):
    def test_mean(self):
        self.assertEqual(mean([1, 2, 3]), 2)
"""
SCRIPT = """\
[
  {"calls": [{"name": "@read", "arguments": {"path": "calc.py"}}]},
  {"text": "mean() divides by the number of values."}
]
"""
REPAIR = (
    Reply("I look at the code and its test.", calls=(Call("Read", {"file_path": "calc.py\ntest_calc.py"}),)),
    Reply(
        calls=(Call("Edit", {"file_path": "calc.py", "old_string": "(len(values) - 1)", "new_string": "len(values)"}),)
    ),
    Reply("mean() divided by one less than the number of values; it now divides by their number."),
)
SPOIL = (
    Reply(calls=(Call("Bash", {"command": "sed -i s/2/3/ test_calc.py"}),)),
    *(Reply("The test passes now."),) * 3,
)
HOOK = (
    Reply(calls=(Call("Write", {"file_path": ".github/workflows/ci.yml", "content": "on: push\n"}),)),
    Reply("I may not write the workflow without your approval."),
)


def play(seen: SeenRequest) -> Reply:
    """What the model says, by the words of the prompt."""
    if b"fix it" in seen.raw:
        return REPAIR[min(seen.position, 2)]
    if b"make the test pass" in seen.raw:
        return SPOIL[min(seen.position, 3)]
    if b"workflow" in seen.raw:
        return HOOK[min(seen.position, 1)]
    if b"JSON Schema" in seen.raw:
        return Reply('{"functions": ["mean"]}')
    return Reply("calc.py has one function, mean().")


class Stage:
    """A fresh home below `folder`; commands run in its project `calc`, their model is the server at `url`."""

    def __init__(self, folder: Path, url: str):
        self.home = folder / "ada"
        self.project = self.home / "calc"
        programs = folder / "bin"
        for directory in (self.project, programs):
            directory.mkdir(parents=True)
        for name, text in (("calc.py", CODE), ("test_calc.py", TEST), ("script.json", SCRIPT)):
            (self.project / name).write_text(text)
        for name, words in (("assay", "-m assay "), ("python", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
            (programs / name).chmod(0o755)
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "LANG": "C.UTF-8",
            "COLUMNS": "100",
            "ANTHROPIC_API_KEY": "a-key-for-the-scripted-server",
            "ANTHROPIC_BASE_URL": url,
        }
        for line in ("git init -q", "git add .", "git -c user.name=ada -c user.email=ada@localhost commit -qm start"):
            self.run(line)

    def run(self, line: str) -> str:
        """The output of a shell line, both streams as they came, with the home as the pages show it."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        text = done.stdout.decode("utf-8", "replace").replace(str(self.home), HOME)
        return re.sub(r"(?<=sessions/)[\w-]*-ada-calc-", "home-ada-calc-", text)


def normal(text: str) -> str:
    """`text` without what differs from run to run: ids, hashes, times, counts, and the spaces that these move."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "ID", text)
    text = re.sub(r"\b(?=[a-f]*[0-9])[0-9a-f]{8,64}\b", "HASH", text)
    text = re.sub(r"(?<=-)(?=[a-f]*[0-9])[0-9a-f]{10}(?=/)", "HASH", text)
    text = re.sub(r"[0-9][0-9.,:-]*", "#", text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def agrees(shown: str, real: str) -> bool:
    """True when a page shows what happened. A line of `…` alone stands for any lines."""
    pattern = "\n".join(
        "(?:.*\n)*?.*" if line == "…" else re.escape(line) for line in normal(shown.strip()).splitlines()
    )
    return re.fullmatch(pattern, normal(real.strip())) is not None
