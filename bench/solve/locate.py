"""How often the function at fault is found without a model: slips put into libraries, and what was mended in them.

    python -m bench.solve.locate inject LIBRARY... --work DIR [--cases N]
    python -m bench.solve.locate history CLONE... --work DIR [--cases N]
    python -m bench.solve.locate score DIR/*.jsonl

`inject` and `history` make cases, one JSON object a line; `score` replays `repair.fuse.rank` on them: whole, with each
clue left out, and by each clue alone. A LIBRARY is an unpacked tree whose tests lie in `tests` or `testing`, a CLONE is
a git directory with history. pytest and coverage.py are needed, and whatever the libraries' own tests import.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from assay.repair.project import is_test_path
from assay.repair.source import functions, span
from bench.solve.injure import injuries
from bench.solve.locate_score import score

SECONDS = 90
MOST_TESTS = 120
FLAGS = [
    "-q",
    "-p",
    "contexts",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-p",
    "no:asyncio",
    "-p",
    "no:randomly",
    "-o",
    "addopts=",
    "-o",
    "filterwarnings=",
    "--continue-on-collection-errors",
]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.solve.locate", description=__doc__)
    parser.add_argument("what", choices=["inject", "history", "score"])
    parser.add_argument("places", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, default=Path())
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    wish = parser.parse_args(words)
    if wish.what == "score":
        score([case for path in wish.places for case in _read(path)])
        return 0
    make = inject if wish.what == "inject" else history
    for place in wish.places:
        target = wish.work / f"{wish.what}-{_name(place)}.jsonl.gz"
        target.unlink(missing_ok=True)
        for number, case in enumerate(make(place.resolve(), wish.work.resolve(), wish.cases, wish.seed), 1):
            with gzip.open(target, "at") as out:  # a file of its own each, so that what is there stays whole
                out.write(json.dumps(case) + "\n")
            print(f"{target.name} {number}: {case['truth']}", flush=True)
    return 0


# --- cases ------------------------------------------------------------------------------------------------------------


def inject(library: Path, work: Path, cases: int, seed: int) -> Iterator[dict[str, object]]:
    """Cases of one wrong expression each, at functions that tests run, one function at most once."""
    base = _base(library, work)
    sources = _sources(library)
    run = {path for files in base["lines"].values() for path in files}
    chance = random.Random(f"{library.name} {seed}")
    files = [path for path in sorted(run & sources.keys()) if not is_test_path(path)]
    pools = {path: injuries(sources[path], random.Random(f"{path} {seed}")) for path in files}
    weights = [len(sources[path]) for path in files]
    made = tried = 0
    while made < cases and tried < cases * 6 and files:
        path = chance.choices(files, weights)[0]
        injury = next(pools[path], None)
        tried += 1
        if injury is None:
            continue
        text, symbol, first, last, line = injury
        tests = [
            test
            for test, covered in base["lines"].items()
            if base["tests"].get(test) == "passed" and any(first < at <= last for at in covered.get(path, ()))
        ]
        if not tests:
            continue
        (library / path).write_text(text)
        try:
            done = _run(library, chance.sample(tests, min(len(tests), MOST_TESTS)), work)
        finally:
            (library / path).write_text(sources[path])
        failing = [test for test, result in done["tests"].items() if result == "failed"] if done else []
        if failing:
            made += 1
            lines = {**base["lines"], **done["lines"]}
            yield {
                "name": f"{library.name} {path} {symbol} {line}",
                "sources": {**sources, path: text},
                "output": done["output"],
                "tests": failing,
                "task": "",
                "coverage": {test: _product(covered) for test, covered in lines.items()},
                "recent": [],
                "truth": [[path, symbol]],
                "lines": [[path, line]],
            }


def history(clone: Path, work: Path, cases: int, _: int) -> Iterator[dict[str, object]]:
    """Cases from commits that mend a few lines of the product and bring a test that fails without; newest first."""
    log = _git(clone, "log", "--no-merges", "-n", "1500", "--format=%H", "--name-only", "--", "*.py").split("\n")
    commits: list[tuple[str, list[str]]] = []
    for line in log:
        if re.fullmatch(r"[0-9a-f]{40}", line):
            commits.append((line, []))
        elif line:
            commits[-1][1].append(line)
    made = tried = 0
    for nth, (commit, files) in enumerate(commits):
        product = [path for path in files if not is_test_path(path)]
        tests = [path for path in files if is_test_path(path) and "test" in path.rsplit("/", 1)[-1]]
        message = _git(clone, "log", "-1", "--format=%B", commit)
        if not (product and tests and len(product) <= 2) or not re.search(
            r"\b(fix|bug|wrong|incorrect|crash|rais)", message, re.I
        ):
            continue
        before = {path: _git(clone, "show", f"{commit}^:{path}", check=False) for path in product}
        truth, lines = _mended(clone, commit, product, before)
        if not truth or len(lines) > 40 or tried >= cases * 5:
            continue
        tried += 1
        tree = work / f"tree-{_name(clone)}"
        _unpack(clone, f"{commit}^", tree)
        for path in tests:
            text = _git(clone, "show", f"{commit}:{path}", check=False)
            if text:
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_text(text)
        done = _run(tree, tests, work)
        if not done:
            continue
        failing = [test for test, result in done["tests"].items() if result == "failed"]
        for path in product:
            (tree / path).write_text(_git(clone, "show", f"{commit}:{path}", check=False))
        again = _run(tree, failing[:50], work) if failing else None
        mended = [test for test in failing if again and again["tests"].get(test) == "passed"]
        if not mended or len(mended) > 40:
            continue
        for path in product:
            (tree / path).write_text(before.get(path, ""))
        made += 1
        recent = [path for _, others in commits[nth + 1 : nth + 11] for path in others]
        yield {
            "name": f"{_name(clone)} {commit[:10]}",
            "sources": _sources(tree),
            "output": done["output"],
            "tests": mended,
            "task": message,
            "coverage": {test: _product(covered) for test, covered in done["lines"].items()},
            "recent": list(dict.fromkeys(recent)),
            "truth": truth,
            "lines": lines,
        }
        if made >= cases:
            return


def _mended(
    clone: Path, commit: str, product: list[str], before: Mapping[str, str]
) -> tuple[list[list[str]], list[list[object]]]:
    """Functions of the old state that a commit changes, and the old lines."""
    truth: list[list[str]] = []
    lines: list[list[object]] = []
    for path in product:
        try:
            places = [(symbol, *span(node)) for symbol, node in functions(ast.parse(before.get(path, "")))]
        except SyntaxError:
            return [], []
        patch = _git(clone, "diff", "-U0", f"{commit}^", commit, "--", path)
        for match in re.finditer(r"^@@ -(\d+)(?:,(\d+))? \+", patch, re.MULTILINE):
            first, count = int(match[1]), int(match[2] or 1)
            for line in range(first, first + max(count, 1)):
                lines.append([path, line])
                # What is put behind the last line of a function is none of it.
                truth += [[path, symbol] for symbol, start, end in places if start <= line < end + bool(count)]
    return [list(pair) for pair in dict.fromkeys(map(tuple, truth))], lines


def _base(library: Path, work: Path) -> dict[str, dict[str, object]]:
    """What the tests of the whole library say and run, measured once."""
    kept = work / f"{library.name}.base.json"
    if not kept.exists():
        done = _run(library, ["tests" if (library / "tests").is_dir() else "testing"], work, 900)
        kept.write_text(json.dumps(done or {"tests": {}, "lines": {}}))
    return json.loads(kept.read_text())


def _run(tree: Path, tests: list[str], work: Path, seconds: float = SECONDS) -> dict[str, object] | None:
    """Tests with their coverage; None when they did not end or nothing could be collected."""
    out = work / f"contexts-{os.getpid()}.json"
    out.unlink(missing_ok=True)
    code = tree / "src" if (tree / "src").is_dir() else tree
    env = {
        **os.environ,
        "COVERAGE_ROOT": str(tree),
        "COVERAGE_OUT": str(out),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(code), str(Path(__file__).parent), os.environ.get("BENCH_PATH", "")]),
    }
    command = [sys.executable, "-m", "pytest", *FLAGS, *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=env, capture_output=True, timeout=seconds, check=False)
        read = json.loads(out.read_text())
    except (subprocess.TimeoutExpired, OSError, ValueError):
        return None
    finally:
        out.unlink(missing_ok=True)
    return {**read, "output": done.stdout.decode("utf-8", "replace")[-300_000:]}


def _product(covered: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {path: lines for path, lines in covered.items() if not is_test_path(path)}


def _sources(tree: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(tree.rglob("*.py")):
        try:
            found[path.relative_to(tree).as_posix()] = path.read_text("utf-8")
        except (UnicodeDecodeError, OSError):
            continue
    return found


def _unpack(clone: Path, revision: str, tree: Path) -> None:
    import shutil
    import tarfile
    from io import BytesIO

    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    data = subprocess.run(["git", "-C", str(clone), "archive", revision], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        archive.extractall(tree, filter="data")


def _git(clone: Path, *words: str, check: bool = True) -> str:
    done = subprocess.run(["git", "-C", str(clone), *words], capture_output=True, check=check)
    return done.stdout.decode("utf-8", "replace")


def _name(place: Path) -> str:
    return (place.parent if place.name == "repo" else place).name.rpartition("+")[2]


def _read(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        try:
            yield from map(json.loads, lines)
        except EOFError:
            print(f"{path}: cut short", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
