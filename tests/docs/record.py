"""Write anew what the pages have from the code: the tables, and the output of consoles that no longer agree.

    python tests/docs/record.py

Read the difference before you commit it: a changed output is a change that people see.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from assay.testing.server import serve_in_thread
from docs.stage import Stage, agrees, play
from docs.tables import REFERENCE, renewed
from docs.test_pages import FENCE, PAGES, steps


def played(block: str, stage: Stage) -> str:
    """A console block with the real output where the shown one does not agree."""
    parts: list[str] = []
    for line, shown in steps(block):
        real = stage.run(line)
        parts.append(f"$ {line}\n{shown if agrees(shown, real) else real}")
    return "".join(parts)


def main() -> None:
    for page in PAGES:
        before = page.read_text("utf-8")
        after = renewed(before) if page == REFERENCE else before
        with tempfile.TemporaryDirectory() as folder, serve_in_thread(play) as server:
            stage = Stage(Path(folder), server.url)
            for found in [found for found in FENCE.finditer(after) if found[1] == "console"]:
                after = after.replace(found[2], played(found[2], stage))
        if after != before:
            page.write_text(after, "utf-8")
            sys.stdout.write(f"{page.name} written\n")


if __name__ == "__main__":
    main()
