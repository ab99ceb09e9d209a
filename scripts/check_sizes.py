"""The ratchet for sizes: files, functions, parameters. `scripts/sizes.json` holds what is over and may only shrink.

Limits (docs/design.md, "Rules a machine keeps"): a file 500 lines, a function 60, 7 parameters, loop/turn.py 200.
Run with --update to write smaller numbers into the baseline; it never writes larger ones. There is no inline escape.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
BASELINE = ROOT / "scripts" / "sizes.json"
FILE, FUNCTION, PARAMETERS, TURN = 500, 60, 7, 200


def measure(path: Path) -> Iterator[tuple[str, int, int]]:
    """(what, size, limit) for everything in one file."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    yield name, text.count("\n"), TURN if name.endswith("loop/turn.py") else FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            place = f"{name}:{node.name}"
            yield place, (node.end_lineno or node.lineno) - node.lineno + 1, FUNCTION
            arguments = node.args
            count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
            owner = bool(arguments.args) and arguments.args[0].arg in ("self", "cls")
            yield f"{place}()", count - owner, PARAMETERS


def main() -> int:
    allowed: dict[str, int] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    found = (path for top in ("src", "tests", "bench", "scripts") for path in (ROOT / top).rglob("*.py"))
    paths = sorted(path for path in found if "third_party" not in path.parts)
    over: dict[str, int] = {}
    for path in paths:
        for what, size, limit in measure(path):
            if size > limit:
                over[what] = max(size, over.get(what, 0))
    worse = {what: size for what, size in over.items() if size > allowed.get(what, 0)}
    for what, size in worse.items():
        print(f"{what}: {size}, over its limit; make it smaller or split it")
    gone = {what: size for what, size in allowed.items() if over.get(what, 0) < size}
    if gone and "--update" in sys.argv:
        shrunk = {what: over[what] for what in allowed if what in over}
        BASELINE.write_text(json.dumps(shrunk, indent=1, sort_keys=True) + "\n")
    elif gone:
        print(f"smaller than the baseline, keep it so with --update: {', '.join(sorted(gone))}")
    return 1 if worse or (gone and "--update" not in sys.argv) else 0


if __name__ == "__main__":
    sys.exit(main())
