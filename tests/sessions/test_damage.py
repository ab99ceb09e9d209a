"""A damaged log: whatever is whole is found, whatever is not is told, and going on works."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.events import ContextAdded
from assay.sessions.line import encode_body, encode_event, encode_line, link
from assay.sessions.log import SessionLog
from assay.sessions.migrate import HEADER
from assay.sessions.reader import SEED, LogReader


def lines(count: int = 6) -> list[bytes]:
    """The lines of a log, the format line first."""
    chain, made = SEED, [HEADER]
    for number in range(1, count + 1):
        body = encode_body(number, float(number), encode_event(ContextAdded("o", f"t{number} \u2028 \ud800")))
        chain = link(chain, body)
        made.append(encode_line(chain, body))
    return made


def numbers(path: Path) -> tuple[list[int], list[str]]:
    reader = LogReader(path)
    return [record.number for record in reader.records()], reader.notices


def opened(path: Path, data: bytes) -> tuple[list[int], list[str]]:
    path.write_bytes(data)
    return numbers(path)


def test_the_chain_hangs_on_the_format_line() -> None:
    assert link(b"", HEADER) == SEED


def test_whole_logs_say_nothing(tmp_path: Path) -> None:
    assert opened(tmp_path / "s.jsonl", b"".join(lines())) == ([1, 2, 3, 4, 5, 6], [])


@pytest.mark.parametrize(
    ("rubble", "skipped"),
    [
        (b"\0" * 4096, 4096),
        (b"\0" * 4096 + b"\n", 4096),
        (b"garbage\n\xff\xfe\n{}\n", 11),
        (b'{"crc":"', 8),
        (lines()[3][:-10], len(lines()[3]) - 10),
    ],
)
def test_rubble_between_records_hides_none(tmp_path: Path, rubble: bytes, skipped: int) -> None:
    made = lines()
    got, notices = opened(tmp_path / "s.jsonl", b"".join(made[:4]) + rubble + b"".join(made[4:]))
    assert got == [1, 2, 3, 4, 5, 6]
    assert len(notices) == 1
    assert "damaged in 1 place" in notices[0]
    assert f"{skipped} bytes skipped" in notices[0]
    assert "no record is known to be missing" in notices[0]


def test_an_overwritten_middle_is_counted(tmp_path: Path) -> None:
    made = lines()
    data = b"".join(made[:2]) + b"\0" * len(made[2] + made[3]) + b"".join(made[4:])
    got, notices = opened(tmp_path / "s.jsonl", data)
    assert got == [1, 4, 5, 6]
    assert "2 records are missing" in notices[0]
    log = SessionLog.open(tmp_path / "s.jsonl")
    assert log.notices == notices
    assert log.append(ContextAdded("o", "on")).number == 7
    log.close()
    assert numbers(tmp_path / "s.jsonl") == ([1, 4, 5, 6, 7], notices)


def test_records_glued_together_are_both_found(tmp_path: Path) -> None:
    made = lines()
    made[3] = made[3].replace(b"\n", b"")
    assert opened(tmp_path / "s.jsonl", b"".join(made))[0] == [1, 2, 3, 4, 5, 6]


def test_removed_repeated_and_edited_lines_are_told(tmp_path: Path) -> None:
    made = lines()
    got, notices = opened(tmp_path / "s.jsonl", b"".join(made[:3] + made[4:]))
    assert got == [1, 2, 4, 5, 6]
    assert "the chain is broken at record 4" in notices[0]

    got, notices = opened(tmp_path / "s.jsonl", b"".join([*made[:4], made[3], *made[4:]]))
    assert got == [1, 2, 3, 4, 5, 6]
    assert "1 repeated records" in notices[0]

    forged = encode_line(b"0" * 16, encode_body(3, 3.0, encode_event(ContextAdded("o", "forged"))))
    got, notices = opened(tmp_path / "s.jsonl", b"".join([*made[:3], forged, *made[4:]]))
    assert got == [1, 2, 3, 4, 5, 6]
    assert "the chain is broken at record 3, 4" in notices[0]


def test_a_padded_tail_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(lines()) + b"\0" * 512)
    log = SessionLog.open(path)
    assert "cut off (512 bytes)" in log.notices[0]
    log.close()
    assert numbers(path) == ([1, 2, 3, 4, 5, 6, 7], [])


def test_line_ends_of_another_system_are_survived(tmp_path: Path) -> None:
    got, notices = opened(tmp_path / "s.jsonl", b"".join(lines()).replace(b"\n", b"\r\n"))
    assert got == [1, 2, 3, 4, 5, 6]
    assert notices


def test_a_file_of_something_else_holds_nothing_and_says_so(tmp_path: Path) -> None:
    got, notices = opened(tmp_path / "s.jsonl", b"hello\nworld\n")
    assert got == []
    assert len(notices) == 2


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_leaves_the_rest_readable_and_is_told(data: st.DataObject) -> None:
    made = lines()
    whole = b"".join(made)
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, min(len(whole), start + 400)))
    offsets = [sum(map(len, made[:index])) for index in range(len(made) + 1)]
    earlier = [line for line, offset in zip(made, offsets[1:], strict=False) if offset <= start] or [b""]
    rubble = data.draw(st.binary(max_size=60) | st.sampled_from([b"\0" * 50, b"\n", *earlier]))
    damaged = whole[:start] + rubble + whole[end:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.jsonl"
        got, notices = opened(path, damaged)
        untouched = {
            number for number in range(1, len(made)) if offsets[number + 1] - 1 <= start or offsets[number] >= end
        }
        assert untouched <= set(got)
        assert got == sorted(set(got))
        # Cut at the end of a line, its newline or not: what follows can't be missed.
        lost_end = end == len(whole) and {start, start + 1} & {*offsets} and not rubble.strip(b"\n")
        if damaged != whole and not lost_end and set(got) != set(range(1, 7)):
            assert notices, "a loss that can be known is told"
        log = SessionLog.open(path)
        log.append(ContextAdded("o", "on"))
        log.close()
        after = [r.event.text for r in LogReader(path).records() if isinstance(r.event, ContextAdded)]
        assert after[-1] == "on"
        assert len(after) == len(got) + 1
        assert path.read_bytes().startswith(damaged)
