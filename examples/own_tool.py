"""A tool of your own, and the suite that says whether it keeps the contract: `pytest own_tool.py`.

A tool says what a call would do before it does it (`effects`), touches the world only through the workspace, bounds
what it returns, and reports trouble as a result instead of raising it.
"""

import pytest

from assay.core.errors import InvalidArguments, WorkspaceError
from assay.core.messages import Json, Text
from assay.core.model import ToolSpec
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome, failed
from assay.testing import MemoryWorkspace
from assay.testing.conformance.tool import ToolConformance


class WordCount:
    spec = ToolSpec(
        "words",
        "Count the words of a file.",
        {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    )

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        path = arguments.get("path")
        if not isinstance(path, str) or not path:
            raise InvalidArguments("words: path: expected a file")
        return (Effect("read", path),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        path = str(arguments["path"])
        try:
            content = context.workspace.read_file(path, 1_000_000)
        except WorkspaceError as error:
            return failed(str(error))
        count = len(content.data.split())
        return ToolOutcome((Text(f"{count} words"),), f"words {path}: {count}", seen={path: content.stamp.digest})


class TestWordCount(ToolConformance):
    @pytest.fixture
    def tool(self) -> WordCount:
        return WordCount()

    @pytest.fixture
    def context(self) -> ToolContext:
        return ToolContext(MemoryWorkspace({"poem.txt": b"one two three\n"}), {})

    @pytest.fixture
    def good(self) -> dict[str, Json]:
        return {"path": "poem.txt"}

    @pytest.fixture
    def troubled(self) -> dict[str, Json]:
        return {"path": "missing.txt"}

    @pytest.fixture
    def nonsense(self) -> list[dict[str, Json]]:
        return [{}, {"path": 7}]
