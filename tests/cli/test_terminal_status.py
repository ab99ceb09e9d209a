"""What reaches a person's screen: nothing that drives the terminal, and progress in plain lines."""

from __future__ import annotations

import io
import json
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.check import CheckRun, Criterion, Evidence, Verdict
from assay.core.errors import StorageError
from assay.core.events import (
    AttemptFinished,
    CallDecided,
    CallFinished,
    CheckFinished,
    CriteriaDeclared,
    Event,
    EvidenceRecorded,
    ModelReplied,
    Noticed,
    TurnEnded,
)
from assay.core.messages import Text, ToolResult
from assay.core.model import Retrying, TextDelta
from assay.core.policy import Decision, Effect
from assay.core.store import Record
from assay.run.bus import Progress, Seen
from assay.surfaces.cli import terminal
from assay.surfaces.cli.status import Status
from assay.surfaces.cli.terminal import ascii_json, harmless, one_line, write_err, write_out
from assay.testing import reply

ANY = st.text(st.characters(exclude_categories=[]))
UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0\ufe00\ufe0d\U000e0100\U000e01ef\U000e0041"
DRIVING = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@given(ANY)
def test_nothing_that_drives_a_terminal_survives(text: str) -> None:
    shown = harmless(text)
    assert not any(unicodedata.category(char) in DRIVING for char in shown if char not in "\n\t")
    assert not set(shown) & set(UNSEEN)
    assert harmless(shown) == shown
    assert len(shown) <= len(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M", "Zs"], include_characters="\n\t")))
def test_text_of_people_comes_through_as_it_is(text: str) -> None:
    seen = "".join(
        char for char in text if char not in UNSEEN and not "\ufe00" <= char < "\ufe0e" and char < "\U000e0000"
    )
    assert harmless(seen) == seen


@given(st.sampled_from(UNSEEN))
def test_characters_that_nothing_is_drawn_for_show(char: str) -> None:
    assert harmless(f"a{char}b") == "a\ufffdb"


@given(ANY)
def test_json_for_others_is_the_same_value_in_plain_ascii(text: str) -> None:
    line = ascii_json(json.dumps({"text": text}, ensure_ascii=False))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["text"].encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


@given(ANY)
def test_a_message_is_one_block_that_no_line_of_others_can_leave(text: str) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        write_err(f"! {text}")
    first, *more = stream.getvalue().removesuffix("\n").split("\n")
    assert first.startswith("! ")
    assert all(line.startswith("  ") for line in more)


def test_a_terminal_of_another_encoding_gets_bytes_of_that_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    # In UTF-8 the letter ends in the byte 9B, which a terminal that expects Latin-1 takes for the start of a sequence.
    stream = Tty()
    monkeypatch.setattr(Tty, "encoding", "iso-8859-1", raising=False)
    monkeypatch.setattr(sys, "stdout", stream)
    write_out("\u011b\u00db[2J")
    assert stream.buffer.getvalue() == b"?\xdb[2J"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;ZXZpbA==\x07", "\ufffd]52;c;ZXZpbA==\ufffd"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("done\rfake", "done\ufffdfake"),
        ("a\r\nb", "a\nb"),
        ("safe\u202egnp.exe", "safe\ufffdgnp.exe"),
        ("in\u200bvisible\ufeff", "in\ufffdvisible\ufffd"),
        ("\x9b31m", "\ufffd31m"),
        ("naïve 漢字 😀\tok\n", "naïve 漢字 😀\tok\n"),
    ],
)
def test_known_tricks(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(ANY, st.integers(1, 60))
def test_one_line_is_one_line_and_not_too_long(text: str, width: int) -> None:
    line = one_line(text, width)
    assert len(line) <= width
    assert len(line.splitlines()) <= 1
    assert (line[-1:] == "…") >= (len(" ".join(harmless(text).split())) > width)


def test_only_one_module_prints_what_others_said() -> None:
    """Elsewhere in the surfaces a stream gets nothing but our own fixed words: help and version."""
    ours = ("describe(", "help_text()", "__version__", "COMMANDS[")
    folder = Path(terminal.__file__).parent
    found = [
        f"{path.name}: {line.strip()}"
        for path in folder.rglob("*.py")
        if path.name != "terminal.py"
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"std(out|err)\.(buffer|write|flush)|\bprint\(|print_exc|faulthandler", line)
        and not any(word in line for word in ours)
    ]
    assert found == []


class Tty(io.StringIO):
    def __init__(self, *, tty: bool = True) -> None:
        super().__init__()
        self._tty = tty
        self.buffer = io.BytesIO()

    def isatty(self) -> bool:
        return self._tty


@pytest.mark.parametrize("tty", [True, False])
def test_output_is_made_harmless_for_a_terminal_and_verbatim_into_a_pipe(
    monkeypatch: pytest.MonkeyPatch, tty: bool
) -> None:
    stream = Tty(tty=tty)
    monkeypatch.setattr(sys, "stdout", stream)
    write_out("\x1b[2J\ud800é")
    assert stream.buffer.getvalue() == ("\ufffd[2J\ufffdé".encode() if tty else b"\x1b[2J?\xc3\xa9")


@pytest.mark.parametrize("write", [write_out, write_err])
def test_a_closed_stream_is_no_trouble(monkeypatch: pytest.MonkeyPatch, write: object) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert callable(write)
    write("into nothing")
    Status(quiet=False, verbose=False)(Progress("think", "x"))


def test_output_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(StorageError, match="standard output: No space left"):
            write_out("x")
        monkeypatch.setattr(sys, "stdout", sys.__stdout__)


def test_errors_that_nobody_can_read_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Tty):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full(tty=False))
    write_err("into nothing")
    Status(quiet=False, verbose=False)(of(Noticed("told")))


def of(event: Event) -> Record:
    return Record(1, 0.0, event)


ROW = Evidence("it works", "make", "A", "fail", "pass", "t", "l", 1.0)
EVENTS: list[tuple[Seen, str]] = [
    (of(CallDecided("c1", "shell", (Effect("execute", "make\x1b[2J test"),), Decision("allow"))), ""),
    (of(CallFinished(ToolResult("c1", (Text("x"),)), "shell: exit 0")), "· shell: exit 0"),
    (of(CallDecided("c2", "edit", (), Decision("allow"))), ""),
    (of(CallFinished(ToolResult("c2", (Text("x"),), is_error=True))), "✗ edit"),
    (of(CheckFinished(CheckRun("make", "t", True, 0, 1.26, "l", ""), "final")), "✓ check (final): make [1.3 s]"),
    (of(CheckFinished(CheckRun("make", "t", False, 1, 0.0, "l", ""), "baseline")), "✗ check (baseline): make [0.0 s]"),
    (of(AttemptFinished(2, "slots", "a.py:f", "red")), "· attempt 2 at a.py:f: red"),
    (of(CriteriaDeclared((Criterion("it\nworks"),))), "criterion: it works"),
    (of(EvidenceRecorded(ROW)), "evidence A: it works: fail → pass"),
    (of(Noticed("the log was mended")), "! the log was mended"),
    (Retrying(1, 2.0, "the provider is overloaded"), "! the provider is overloaded; again in 2.0 s"),
    (Progress("think", "thinking"), ""),
    (TextDelta("words"), ""),
    (of(TurnEnded("t", Verdict("answered", ""), "", 1, 1.0)), ""),
]  # fmt: skip


def test_progress_is_plain_lines_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    status = Status(quiet=False, verbose=False)
    for seen, line in EVENTS:
        status(seen)
        shown = capsys.readouterr().err
        assert shown.strip() == line
        assert shown.count("\n") == bool(line)


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    status = Status(quiet=True, verbose=True)
    for seen, _ in EVENTS:
        status(seen)
    assert capsys.readouterr().err == ""


def test_more_detail_shows_the_models_words(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        Status(quiet=False, verbose=verbose)(of(ModelReplied(1, reply("I look\nfirst."))))
        assert capsys.readouterr().err.strip() == ("I look first." if verbose else "")


def test_a_live_line_is_drawn_over_itself_and_wiped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    status = Status(quiet=False, verbose=False, banner="UNCONFINED")
    status._drawn = -1.0
    status(Progress("think", "thinking\x1b[2J hard"))
    assert stream.getvalue().startswith("\r\x1b[2KUNCONFINED · step 0 · thinking\ufffd[2J hard · 0 tokens · ")
    status(of(Noticed("told")))
    assert "\r\x1b[2K! told\n" in stream.getvalue()
    status(of(TurnEnded("t", Verdict("answered", ""), "", 1, 1.0)))
    assert stream.getvalue().endswith("\r\x1b[2K")
    before = stream.getvalue()
    status(Progress("think", "after the end"))
    assert stream.getvalue() == before


@given(st.lists(ANY, min_size=3, max_size=3))
def test_whatever_it_is_told_the_terminal_sees_only_our_own_sequences(texts: list[str]) -> None:
    stream = Tty()
    real, sys.stderr = sys.stderr, stream
    try:
        status = Status(quiet=False, verbose=True, banner="")
        for seen in (
            Progress("call", texts[0]),
            of(CallDecided("c", texts[1], (Effect("execute", texts[2]),), Decision("allow"))),
            of(CallFinished(ToolResult("c", (Text(texts[0]),)), texts[1])),
            of(CriteriaDeclared((Criterion(texts[2]),))),
            of(ModelReplied(1, reply(texts[0]))),
        ):
            status._drawn = -1.0
            status(seen)
    finally:
        sys.stderr = real
    rest = stream.getvalue().replace("\r\x1b[2K", "")
    assert not any(unicodedata.category(char) in DRIVING for char in rest if char != "\n")
