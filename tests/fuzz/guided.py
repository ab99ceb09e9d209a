"""Coverage-guided fuzzing of the targets, for a bounded time: `python -m tests.fuzz.guided SECONDS [TARGET...]`.

Each target gets its share of the time in a process of its own. What made one crash is printed in base64, and the exit
code is 1. Needs atheris (`make nightly` installs it where there is a build of it); without it, says so and ends with 0.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

LARGEST = 20_000
"""Bytes of an input."""
PATIENCE = 20
"""Seconds for one input."""
ROOT = Path(__file__).parents[2]


def main(words: Sequence[str]) -> int:
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write("atheris is not installed: nothing was fuzzed by coverage\n")
        return 0
    from tests.fuzz.targets import TARGETS

    seconds, names = int(words[0]), words[1:] or [*TARGETS]
    return max(hunted(name, max(seconds // len(names), 5)) for name in names)


def hunted(name: str, seconds: int) -> int:
    """Fuzz one target; prints a line about it and returns 1 when something was found."""
    from tests.fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory() as folder:
        corpus, crashes = Path(folder, "corpus"), Path(folder, "crash-")
        corpus.mkdir()
        for number, sample in enumerate(TARGETS[name].samples):
            (corpus / str(number)).write_bytes(sample)
        limits = (f"-max_total_time={seconds}", f"-max_len={LARGEST}", f"-timeout={PATIENCE}", "-rss_limit_mb=2048")
        argv = (sys.executable, "-m", "tests.fuzz.guided", "--child", name, *limits, f"-artifact_prefix={crashes}")
        paths = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run((*argv, str(corpus)), cwd=ROOT, env=os.environ | {"PYTHONPATH": paths},
                              capture_output=True, timeout=seconds + 120)  # fmt: skip
        tried = re.findall(r"^(?:#|Done )(\d+)", done.stderr.decode("utf-8", "replace"), re.M)
        found = sorted(Path(folder).glob("crash-*"))
        state = "CRASHED" if done.returncode or found else "fine"
        sys.stdout.write(f"{name}: {state} after {tried[-1] if tried else 0} inputs\n")
        for path in found:
            sys.stdout.write(f"  {base64.b64encode(path.read_bytes()).decode()}\n")
        if state != "fine":
            sys.stdout.write(done.stderr.decode("utf-8", "replace")[-4000:])
        sys.stdout.flush()
        return int(state != "fine")


def child(words: Sequence[str]) -> None:
    """What runs under the fuzzer; never returns."""
    import atheris

    with atheris.instrument_imports(include=["assay", "xml", "json", "tomllib", "configparser"]):
        from tests.fuzz.targets import TARGETS
    feed = TARGETS[words[0]].feed
    atheris.Setup([sys.argv[0], *words[1:]], lambda data: (feed(data), None)[1])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    sys.exit(main(sys.argv[1:] or ["600"]))
