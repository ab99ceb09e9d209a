"""The rendered replies of the case table. `python -m tests.testing_server.golden` rewrites the files."""

from pathlib import Path

import msgspec
from tests.testing_server.cases import CASES

from assay.testing.server.anthropic import Anthropic
from assay.testing.server.chat import Chat
from assay.testing.server.plan import Planner, quarter
from assay.testing.server.responses import Responses
from assay.testing.server.seen import SeenRequest

FOLDER = Path(__file__).parent / "golden"
DIALECTS = {dialect.name: dialect for dialect in (Anthropic(), Chat(), Responses())}
FILES = [f"{dialect}.{case}.{form}" for dialect in DIALECTS for case in CASES for form in ("sse", "json")]


def rendered(file: str) -> bytes:
    """The body of the response, streamed or whole, that a golden file holds."""
    dialect, case, form = file.split(".")
    body = {
        "model": "model-1",
        "stream": form == "sse",
        "stream_options": {"include_usage": True},
        "include": ["reasoning.encrypted_content"],
    }
    seen = SeenRequest(0, DIALECTS[dialect], "/", {}, msgspec.json.encode(body))
    plan = Planner(quarter, lambda: 1_700_000_000.0).plan(seen, DIALECTS[dialect], CASES[case], None)
    body_steps = [step for step in plan.steps[1:] if isinstance(step, bytes)]
    if form == "json":
        return msgspec.json.format(b"".join(body_steps), indent=1) + b"\n"
    return b"".join(step.partition(b"\r\n")[2][:-2] for step in body_steps[:-1])


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for file in FILES:
        (FOLDER / file).write_bytes(rendered(file))


if __name__ == "__main__":
    main()
