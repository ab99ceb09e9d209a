"""Selectors on stored pools: what they take, how it is counted, and that no figure comes from nowhere."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from bench.solve import critic
from bench.solve.replay import (
    SELECTORS,
    Graded,
    Task,
    believed,
    chosen_by,
    contested,
    key_of,
    main,
    read,
    table,
)

from assay.core.messages import AssistantMessage, Text
from assay.core.model import ModelRequest
from assay.search.candidate import Ground, Vector

GREEN, RED = Vector(targets={"t": True}), Vector(targets={"t": False})


def graded(number: int, correct: bool, vector: Vector = GREEN, answer: str = "", patch: str = "") -> Graded:
    behaviour = {"m.py:f((1,), {})": answer} if answer else {}
    return Graded(number, "zero", "mutation", vector=vector, behaviour=behaviour, patch=patch, files=1, correct=correct)


TASKS = [
    Task("red first", (graded(1, False, RED), graded(2, True)), "odd"),
    Task("crowd", (graded(1, False, answer="x"), graded(2, True, answer="y"), graded(3, True, answer="y")), "even"),
    Task("hopeless", (graded(1, False), graded(2, False)), "odd"),
]


def test_each_selector_is_scored_on_the_same_tasks() -> None:
    lines = {line.name: line for line in table(TASKS, rounds=200)}
    assert list(lines) == list(SELECTORS)
    assert lines["first"].solved == 0
    assert lines["random"].solved == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert lines["oracle"].solved == pytest.approx(2 / 3)
    assert lines["+ targets"].solved == pytest.approx(1 / 3)
    assert lines["+ behaviour"].solved == pytest.approx(2 / 3)
    assert lines["+ behaviour"].recovery == pytest.approx(1)
    assert lines["first"].recovery is not None
    assert lines["first"].recovery < 0
    assert all(line.low <= line.solved <= line.high for line in lines.values())
    assert table(TASKS, rounds=50) == table(TASKS, rounds=50)


def test_the_majority_of_texts_takes_what_is_common() -> None:
    task = Task("t", (graded(1, True, patch="a"), graded(2, False, patch="b"), graded(3, False, patch=" b")))
    assert SELECTORS["majority of texts (what not to do)"](task) == 0


async def test_stored_replies_are_played_again() -> None:
    task = Task(
        "t",
        (graded(1, False, answer="3"), graded(2, True, answer="4")),
        spec="Doubles and adds two.",
        signature="f(n)",
        place="m.py:f",
    )
    replies: dict[str, str] = {}

    async def ask(request: ModelRequest) -> AssistantMessage:
        part = request.messages[-1].parts[0]
        assert isinstance(part, Text)
        replies[key_of(request)] = "A" if "A: 4" in part.text else "B"
        return AssistantMessage((Text(replies[key_of(request)]),), "end")

    assert (await chosen_by(task, ask)).number == 2
    stored = msgspec.structs.replace(task, replies=replies)
    assert await _took(stored) == 1
    assert await _took(task) == 0


async def _took(task: Task) -> float:
    import asyncio

    return await asyncio.to_thread(SELECTORS["+ comparator"], task)


def test_belief_is_counted_with_what_hidden_tests_said() -> None:
    found = believed([msgspec.structs.replace(task, ground=Ground("A", 30)) for task in TASKS])
    assert (found.tasks, found.right) == (3, 2)
    assert found.verified_right <= found.verified <= 3
    assert 0 < found.brier < 1
    assert believed([]).tasks == 0


def test_the_command_prints_a_table_and_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_bytes(b"\n".join(msgspec.json.encode(task) for task in TASKS) + b"\n\n")
    assert read([pool]) == TASKS
    assert main([str(pool)]) == 0
    assert "3 tasks, 7 candidates" in capsys.readouterr().out
    assert main([str(pool), "--green", "--contested"]) == 0
    assert "1 tasks, 3 candidates" in capsys.readouterr().out
    assert main([str(pool), "--belief"]) == 0
    assert "even: 1 tasks with a green candidate, chosen right in 1" in capsys.readouterr().out
    assert main([str(pool), "--split", "none"]) == 2
    pool.write_text('{"task": 1}')
    assert main([str(pool)]) == 2
    assert f"{pool}:1 is no task of a pool" in capsys.readouterr().err
    assert contested(TASKS[1])


def _lines(task: int, split: str) -> Task:
    """The correct candidate is the one that a model made; nothing else tells them apart."""
    wrong, right = graded(1, False, answer="x"), graded(2, True, answer="y")
    return Task(f"{task}", (wrong, msgspec.structs.replace(right, model="p/m")), split)


def test_a_critic_learns_what_tells_right_from_wrong_and_is_set_beside_the_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [_lines(number, "odd" if number % 2 else "even") for number in range(6)]
    right, by_rules, weights = critic.compared(tasks[::2], tasks[1::2])
    assert (right, by_rules) == (3, 0)
    assert weights["made by a model"] > 0
    pool = tmp_path / "pool.jsonl"
    pool.write_bytes(b"\n".join(msgspec.json.encode(task) for task in tasks))
    assert critic.main([str(pool)]) == 0
    assert "right of 3 by the critic 3, by the rules 0" in capsys.readouterr().out
    pool.write_bytes(msgspec.json.encode(tasks[0]))
    assert critic.main([str(pool)]) == 2
