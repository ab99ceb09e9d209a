"""How many tokens a request is: by the o200k vocabulary where one is at hand without a network, else bytes by four.

The `litellm` package carries that vocabulary, so an agent built on it, if measured here, lends its interpreter.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.peers import find_program

_COUNT = """
import json, os, sys
from importlib.util import find_spec
found = find_spec("litellm")
base = os.path.dirname(found.origin)
os.environ["TIKTOKEN_CACHE_DIR"] = os.path.join(base, "litellm_core_utils", "tokenizers")
import tiktoken
encoding = tiktoken.get_encoding("o200k_base")
texts = json.load(sys.stdin)
print(json.dumps([len(encoding.encode(text, disallowed_special=())) for text in texts]))
"""


class Tokens:
    """Counts tokens; `unit` says how."""

    def __init__(self) -> None:
        self._python = _interpreter()
        self.unit = "o200k" if self._python else "bytes/4"

    def count(self, texts: Sequence[bytes]) -> list[int]:
        """The tokens of each text."""
        if self._python is None:
            return [(len(text) + 3) // 4 for text in texts]
        return _ask(self._python, [text.decode("utf-8", "replace") for text in texts])


def _ask(python: str, texts: list[str]) -> list[int]:
    done = subprocess.run(
        [python, "-c", _COUNT], input=json.dumps(texts), capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout.splitlines()[-1])


def _interpreter() -> str | None:
    programs = [found for name in ("mini", "aider") if (found := find_program(name))]
    for python in (sys.executable, *(str(Path(program).with_name("python")) for program in programs)):
        try:
            if _ask(python, ["hello world"]) == [2]:
                return python
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            continue
    return None
