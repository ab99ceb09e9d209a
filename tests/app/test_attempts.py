"""What attempts are given by the house."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from assay.app.attempts import Attempts
from assay.core.events import AttemptFinished, InputReceived
from assay.core.messages import Text
from assay.core.model import Model
from assay.sessions.log import SessionLog
from assay.testing import ScriptedModel
from run.house import House


def attempts(folder: Path, turn: str = "now") -> tuple[Attempts, list[str]]:
    run = House().run()
    run.parts = replace(run.parts, spill=str(folder))
    run.state.turn = turn
    opened: list[str] = []

    def open_model(name: str) -> Model:
        opened.append(name)
        return ScriptedModel(())

    return Attempts(run, ("p/two",), (), open_model, lambda _: None), opened


def log(folder: Path, number: int, *turns: str) -> str:
    store = SessionLog.create(folder / "attempts" / f"{number}.jsonl")
    for turn in turns:
        store.append(InputReceived(turn, (Text("go"),)))
    store.close()
    return str(store.path)


def test_a_model_is_opened_once_whatever_number_of_attempts_asks_it(tmp_path: Path) -> None:
    made, opened = attempts(tmp_path)
    ports = made._ports()
    assert ports.open_model("p/two") is ports.open_model("p/two") is made._ports().open_model("p/two")
    assert opened == ["p/two"]


def test_logs_of_this_turn_without_an_end_are_lost_ones_and_no_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "attempts").mkdir()
    torn = Path(log(tmp_path, 1, "then"))
    torn.write_bytes(b"not a log")
    lost = [log(tmp_path, number, "then", "now") for number in (9, 10)]
    told = log(tmp_path, 11, "then", "now")
    log(tmp_path, 12)
    log(tmp_path, 8, "then")
    (tmp_path / "attempts" / "notes.jsonl").write_text("mine")
    made, _ = attempts(tmp_path)
    made._run.state.attempts.append(AttemptFinished(1, "loop", "", "red", "", "", log=told))
    assert [each.log for each in made._lost()] == lost
