"""The doubles keep the contracts of the ports that they stand in for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from assay import testing
from assay.core.clock import Clock, SystemClock
from assay.core.errors import InvalidArguments, StorageError
from assay.core.events import ModelReplied, Noticed
from assay.core.messages import Failure, Json, Text, UserMessage
from assay.core.model import Model, ModelRequest, ToolSpec
from assay.core.policy import Decision, Effect, Gate, Label, Weighed
from assay.core.store import EventStore, Record
from assay.core.tool import Tool, ToolContext, ToolOutcome, failed
from assay.core.workspace import Workspace
from assay.testing import (
    ChaosModel,
    FakeClock,
    FunctionModel,
    MemoryStore,
    ReplayModel,
    ScriptedModel,
    call,
    collect,
    reply,
)
from assay.testing.conformance.clock import ClockConformance
from assay.testing.conformance.gate import GateConformance
from assay.testing.conformance.model import ModelConformance
from assay.testing.conformance.store import EventStoreConformance
from assay.testing.conformance.tool import ToolConformance

REQUEST = ModelRequest("system", (), ())
LOOK = reply("I look.", [call("look", {"path": "a.py"}), call("look", {"path": "b\ud800"})], thinking="hm")


class TestScriptedModel(ModelConformance):
    @pytest.fixture
    def answering(self) -> Model:
        return FunctionModel(lambda _: reply("hello " * 100, thinking="hm"))

    @pytest.fixture
    def calling(self) -> Model:
        return ScriptedModel([LOOK])

    @pytest.fixture
    def failing(self) -> Model:
        return ScriptedModel([])

    @pytest.fixture
    def stalling(self) -> Model:
        async def never(_: ModelRequest) -> str:
            await asyncio.Event().wait()
            return ""

        return FunctionModel(never)


class TestChaosModel(ModelConformance):
    @pytest.fixture
    def answering(self) -> Model:
        return ChaosModel(FunctionModel(lambda _: "hello"), 1, failures=0, cuts=0, malformed=0)

    @pytest.fixture
    def calling(self) -> Model:
        return ChaosModel(ScriptedModel([LOOK]), 1, failures=0, cuts=0, malformed=1)

    @pytest.fixture(params=["failures", "cuts"])
    def failing(self, request: pytest.FixtureRequest) -> Model:
        chances = {"failures": 0.0, "cuts": 0.0, "malformed": 0.0, request.param: 1.0}
        return ChaosModel(FunctionModel(lambda _: "hello"), 1, **chances)

    @pytest.fixture
    def stalling(self) -> Model:
        async def never(_: ModelRequest) -> str:
            await asyncio.Event().wait()
            return ""

        return ChaosModel(FunctionModel(never), 1, failures=0)


class TestMemoryStore(EventStoreConformance):
    @pytest.fixture
    def open_store(self) -> Callable[[], EventStore]:
        log: list[Record] = []
        return lambda: MemoryStore(log=log)


class TestClocks(ClockConformance):
    @pytest.fixture(params=[SystemClock, FakeClock])
    def clock(self, request: pytest.FixtureRequest) -> Clock:
        return request.param()


class Cautious:
    """A gate that allows reading, asks about files inside, and denies the rest."""

    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        if all(effect.kind in ("read", "none") for effect in effects):
            return Decision("allow", weighed=tuple(Weighed(effect, "allow", "reading") for effect in effects))
        inside = all(effect.kind in ("read", "write") and not effect.target.startswith("/") for effect in effects)
        verdict = "ask" if inside else "deny"
        weighed = tuple(Weighed(effect, verdict, "not reading", "not reading") for effect in effects)
        return Decision(verdict, "not reading", "not reading", weighed)


class TestGate(GateConformance):
    @pytest.fixture
    def gate(self) -> Gate:
        return Cautious()


class Greeter:
    """A tool that greets everybody but one."""

    spec = ToolSpec("greet", "Greet someone.", {"type": "object", "properties": {"name": {"type": "string"}}})

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        if not isinstance(arguments.get("name"), str):
            raise InvalidArguments("name must be a string")
        return (Effect("none"),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        if arguments["name"] == "nobody":
            return failed("nobody is there")
        return ToolOutcome((Text(f"hello {arguments['name']}"),), "greeted")


class TestTool(ToolConformance):
    @pytest.fixture
    def tool(self) -> Tool:
        return Greeter()

    @pytest.fixture
    def context(self) -> ToolContext:
        return ToolContext(cast(Workspace, None), {})

    @pytest.fixture
    def good(self) -> dict[str, Json]:
        return {"name": "you"}

    @pytest.fixture
    def troubled(self) -> dict[str, Json]:
        return {"name": "nobody"}

    @pytest.fixture
    def nonsense(self) -> list[dict[str, Json]]:
        return [{}, {"name": 1}]


async def test_a_script_is_played_in_order_and_its_requests_are_kept() -> None:
    model = ScriptedModel(["one", LOOK, Failure("auth", "bad key")])
    messages = [UserMessage((Text("a"),))]
    first = await collect(model, ModelRequest("s", (), messages))
    messages.append(UserMessage((Text("b"),)))
    second = await collect(model, ModelRequest("s", (), messages))
    third = await collect(model, REQUEST)
    over = await collect(model, REQUEST)
    assert first.text == "one"
    assert [each.id for each in second.calls] == ["call_2_1", "call_2_2"]
    assert third.failure == Failure("auth", "bad key")
    assert over.failure is not None
    assert "request 4" in over.failure.message
    assert [len(request.messages) for request in model.requests] == [1, 2, 0, 0], "as they were when they came"
    await model.aclose()
    assert model.closed


async def test_a_replay_answers_as_the_session_did() -> None:
    store = MemoryStore()
    failure = await collect(ScriptedModel([Failure("cut", "cut")]), REQUEST)
    store.append(ModelReplied(1, failure))
    store.append(Noticed("x"))
    store.append(ModelReplied(2, LOOK))
    model = ReplayModel(store.records())
    assert await collect(model, REQUEST) == failure
    assert (await collect(model, REQUEST)).text == "I look."


async def test_chaos_repeats_itself_and_leaves_the_rest_alone() -> None:
    async def play(seed: int) -> tuple[list[str], list[str]]:
        model = ChaosModel(FunctionModel(lambda _: LOOK), seed, failures=0.2, cuts=0.2, malformed=0.2)
        outcomes: list[str] = []
        for _ in range(60):
            message = await collect(model, REQUEST)
            if message.failure is not None:
                outcomes.append("cut" if message.failure.kind == "cut" else "failure")
            else:
                outcomes.append("malformed" if message.calls[0].invalid else "")
        return model.faults, outcomes

    faults, outcomes = await play(7)
    assert faults == outcomes
    assert set(faults) == {"failure", "cut", "malformed", ""}
    assert (await play(7))[0] == faults
    assert (await play(8))[0] != faults


async def test_a_fake_clock_never_waits() -> None:
    clock = FakeClock(100.0)
    await clock.sleep(3600)
    assert (clock.now(), clock.monotonic(), clock.slept) == (3700.0, 3600.0, [3600])
    clock.set(50.0)
    assert (clock.now(), clock.monotonic()) == (50.0, 3600.0)


def test_a_memory_store_remembers_what_had_to_be_durable() -> None:
    store = MemoryStore(clock=FakeClock(5.0))
    store.append(Noticed("a"))
    store.append(Noticed("b"), durable=True)
    assert store.durable == [2]
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.append(Noticed("c"))


def test_the_package_loads_nothing_until_it_is_asked() -> None:
    program = "import sys, assay.testing; print(sorted(m for m in sys.modules if m.startswith('assay.')))"
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": source})
    assert done.stdout.strip() == "['assay._version', 'assay.testing']"
    assert {"ScriptedModel", "MemoryWorkspace", "ScriptedServer"} <= set(dir(testing))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = testing.Nothing
