"""Which command was asked for, its help, and how errors are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from assay._version import __version__
from assay.app.flags import FLAGS, Parsed
from assay.core.errors import ProviderUnavailable, StorageError
from assay.surfaces.cli import headless
from assay.surfaces.cli.main import COMMANDS, run


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))


class Asked:
    """Stands where a task would be carried out; keeps what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.given: dict[str, object] = {}
        self.prompt: str | None = "never asked"
        self._error = error
        monkeypatch.setattr(headless, "run_headless", self)

    def __call__(self, parsed: Parsed, prompt: str | None) -> int:
        self.given, self.prompt = dict(parsed.given), prompt
        if self._error:
            raise self._error
        return 0


def test_help_names_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert all(flag.name in text for flag in FLAGS)
    assert "130 interrupted" in text
    assert run(["-h"]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert "assay" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == run(["-v"]) == 0
    assert capsys.readouterr().out == f"{__version__} (assay)\n" * 2


@pytest.mark.parametrize(
    "before", [[], *([command] for command in COMMANDS)], ids=lambda words: " ".join(words) or "assay"
)
def test_an_unknown_option_is_told_in_the_same_words_everywhere(
    before: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*before, "--x"]) == 2
    assert capsys.readouterr().err == "error: unknown option '--x'\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-p", "one", "two"], "one prompt is enough; got 'two' as well"),
        (["fix it"], 'run one task with: assay -p "fix it"'),
        ([], "assay -p"),
        (["sessions", "shred"], "assay sessions has no 'shred'"),
        (["sessions", "show"], "takes one session ID"),
        (["sessions", "show", "0123"], "no session '0123'"),
        (["sessions", "delete"], "takes IDs, or --older-than DAYS, or --all"),
        (["check", "now"], "assay check takes no 'now'"),
        (["check", "--receipt", "missing.json", "--no-sandbox"], "cannot read missing.json: No such file"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert told in error
    assert error.count("\n") == 1


def test_sessions_of_a_new_home_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sessions", "list"]) == 0
    assert "no sessions" in capsys.readouterr().err
    assert run(["sessions", "list", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_a_prompt_is_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    assert run(["-p", "mend it", "--model", "m"]) == 0
    assert (asked.prompt, asked.given["model"]) == ("mend it", "m")
    assert run(["-p"]) == 0
    assert asked.prompt is None


ID = "01a1fddd-0654-762e-8f99-0ff69818b2e6"


@pytest.mark.parametrize(
    ("arguments", "session", "prompt"),
    [
        ([], True, None),
        (["-p"], True, None),
        ([ID], ID, None),
        (["01a1"], "01a1", None),
        ([ID, "-p", "go on"], ID, "go on"),
        ([ID, "go on"], ID, "go on"),
        (["-p", "go on"], True, "go on"),
        (["-p", "0123 is the answer"], True, "0123 is the answer"),
        (["-p", ID], ID, None),
        (["nonsense"], "nonsense", None),
    ],
)
def test_resume_takes_an_id_and_a_prompt_or_neither(
    arguments: list[str], session: object, prompt: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    assert run(["resume", *arguments]) == 0
    assert asked.given["continue" if session is True else "resume"] == session
    assert ("resume" in asked.given) != ("continue" in asked.given)
    assert asked.prompt == prompt


@pytest.mark.parametrize(("error", "code"), [(StorageError("the disk is full"), 9), (ProviderUnavailable("later"), 4)])
def test_an_error_is_a_line_and_an_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Asked(monkeypatch, error)
    assert run(["-p", "x"]) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_defect_is_a_line_too_and_a_traceback_only_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Asked(monkeypatch, KeyError("oops"))
    assert run(["-p", "x"]) == 1
    told = capsys.readouterr().err
    assert told == "error: KeyError: 'oops' (this is a defect of assay; --verbose shows where)\n"
    assert run(["-p", "x", "--verbose"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_what_others_said_cannot_drive_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Asked(monkeypatch, ProviderUnavailable("server said \x1b]52;c;x\x07"))
    run(["-p", "x"])
    run(["--\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 0)])
def test_who_left_is_not_told_anything(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(parsed: Parsed, prompt: str | None) -> int:
        raise error

    monkeypatch.setattr(headless, "run_headless", leave)
    assert run(["-p", "x"]) == code
    assert capsys.readouterr().err == ""


def test_the_entry_point_reads_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.__main__ import main

    monkeypatch.setattr(sys, "argv", ["assay", "--version"])
    assert main() == 0
