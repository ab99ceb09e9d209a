"""The log on disk: what it writes, what it survives, who may write."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.core.errors import SessionBusy, StorageError, UsageError
from assay.core.events import CallDecided, ContextAdded, Noticed
from assay.core.policy import Decision
from assay.core.store import EventStore, Record
from assay.sessions.log import SessionLog
from assay.sessions.reader import LogReader
from assay.testing import FakeClock
from assay.testing.conformance.store import EventStoreConformance

SOURCE = str(Path(__file__).parents[2] / "src")


def written(path: Path, count: int = 5) -> list[Record]:
    log = SessionLog.create(path)
    records = [log.append(ContextAdded("o", f"text {number} é \ud800")) for number in range(count)]
    log.close()
    return records


def texts(log: SessionLog | LogReader) -> list[str]:
    return [r.event.text for r in log.records() if isinstance(r.event, ContextAdded)]


class TestSessionLog(EventStoreConformance):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], EventStore]:
        path = tmp_path / "project" / "s.jsonl"
        return lambda: SessionLog.open(path) if path.exists() else SessionLog.create(path)


def test_the_file_is_private_ascii_and_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "key" / "s.jsonl"
    written(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path.parent.parent)} == {0o700}
    data = path.read_bytes()
    assert data.isascii()
    objects = [json.loads(line) for line in data.decode().split("\n")[:-1]]
    assert objects[0] == {"assay_log": 1}
    assert [each["n"] for each in objects[1:]] == [1, 2, 3, 4, 5]


def test_a_cut_at_every_byte_of_the_last_record_loses_only_that_record(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    written(path)
    data = path.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(data)):
        cut = tmp_path / f"cut{end}.jsonl"
        cut.write_bytes(data[:end])
        log = SessionLog.open(cut)
        kept = 5 if end == len(data) - 1 else 4
        assert len(texts(log)) == kept
        assert bool(log.notices) == (end > start), "a cut between two records leaves no trace"
        assert cut.read_bytes().startswith(data[:end]), "nothing is ever cut off"
        log.append(ContextAdded("o", "after"))
        log.close()
        again = SessionLog.open(cut)
        assert texts(again)[-1] == "after"
        assert len(texts(again)) == kept + 1
        assert again.notices == [], "sealed and told once; the log itself remembers"
        assert any(isinstance(r.event, Noticed) for r in again.records()) == (end > start)
        again.close()


def test_a_cut_first_line_still_opens(tmp_path: Path) -> None:
    for end in range(16):
        path = tmp_path / f"{end}.jsonl"
        path.write_bytes(b'{"assay_log":1}\n'[:end])
        log = SessionLog.open(path)
        log.append(ContextAdded("o", "first"))
        log.close()
        assert texts(LogReader(path)) == ["first"]


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"assay_log":2}\n{"anything":1}')
    with pytest.raises(StorageError, match="update assay"):
        SessionLog.open(path)
    assert path.read_bytes() == b'{"assay_log":2}\n{"anything":1}'


def test_a_second_writer_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    first = SessionLog.create(path)
    with pytest.raises(SessionBusy, match=f"process {os.getpid()};"):
        SessionLog.open(path)
    first.append(ContextAdded("o", "still mine"))
    assert texts(LogReader(path)) == ["still mine"], "looking is allowed"
    first.close()
    SessionLog.open(path).close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["s.jsonl"]


def test_a_killed_writer_leaves_the_intent_and_frees_the_session(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from assay.sessions.log import SessionLog\nfrom assay.core.events import CallDecided\n"
        "from assay.core.policy import Decision\n"
        "log = SessionLog.create(Path(sys.argv[1]))\n"
        "log.append(CallDecided('c1', 'edit', (), Decision('allow')), durable=True)\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, env={"PYTHONPATH": SOURCE}
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            with pytest.raises(SessionBusy, match=f"process {child.pid};"):
                SessionLog.open(path)
        finally:
            child.send_signal(signal.SIGKILL)
    log = SessionLog.open(path)
    assert [r.event for r in log.records()] == [CallDecided("c1", "edit", (), Decision("allow"))]
    log.close()


class SmallDisk:
    """Stands in for `os.write`: takes `room` bytes in all, then the disk is full."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.write

    def __call__(self, descriptor: int, data: memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = self.write(descriptor, data[: self.room])
        self.room -= count
        return count


def test_a_disk_that_fills_up_at_any_byte_loses_only_what_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = SessionLog.create(tmp_path / "probe.jsonl", clock=FakeClock())
    probe.append(ContextAdded("o", "text 0 é \ud800"))
    whole = probe.path.stat().st_size - 16
    probe.close()
    for room in range(whole + 1):
        path = tmp_path / f"{room}.jsonl"
        log = SessionLog.create(path, clock=FakeClock())
        log.append(ContextAdded("o", "before"))
        with monkeypatch.context() as patch:
            patch.setattr("os.write", SmallDisk(room))
            expected = ["before"]
            try:
                log.append(ContextAdded("o", "text 0 é \ud800"))
                expected.append("text 0 é \ud800")
            except StorageError as error:
                assert str(path) in str(error)
                assert "free some space" in str(error)
                assert error.exit_code == 9
            else:
                assert room >= whole - 1, "only the line's end may be missing"
        log.append(ContextAdded("o", "after"), durable=True)
        expected.append("after")
        log.close()
        again = SessionLog.open(path)
        assert texts(again) == expected
        assert [r.number for r in again.records()] == list(range(1, len(expected) + 1))
        assert not any("chain" in each or "records are missing" in each for each in again.notices)
        again.close()


def test_a_limit_of_the_system_is_survived(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    program = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from assay.sessions.log import SessionLog\nfrom assay.core.events import ContextAdded\n"
        "from assay.core.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
        "log = SessionLog.create(Path(sys.argv[1]))\n"
        "kept = 0\n"
        "try:\n"
        "    while True:\n"
        "        log.append(ContextAdded('o', 'x' * 500), durable=True)\n"
        "        kept += 1\n"
        "except StorageError as error:\n"
        "    print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "log.append(ContextAdded('o', f'after {kept}'), durable=True)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": SOURCE}, timeout=60)
    assert done.stderr == ""
    assert str(path) in done.stdout
    log = SessionLog.open(path)
    *before, after = texts(log)
    assert 5 < len(before) < 10
    assert after == f"after {len(before)}"
    assert "no record is known to be missing" in log.notices[0]
    log.close()


def test_storage_trouble_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="ASSAY_HOME"):
        SessionLog.create(tmp_path / "file" / "s.jsonl")
    written(tmp_path / "s.jsonl")
    with pytest.raises(StorageError, match="another session id"):
        SessionLog.create(tmp_path / "s.jsonl")
    with pytest.raises(UsageError, match="no session log at"):
        SessionLog.open(tmp_path / "absent.jsonl")
    with pytest.raises(UsageError, match="no session log at"):
        list(LogReader(tmp_path / "absent.jsonl").records())
    log = SessionLog.open(tmp_path / "s.jsonl")
    (tmp_path / "s.jsonl").unlink()
    with pytest.raises(StorageError, match="deleted while in use"):
        log.append(Noticed("lost"), durable=True)
    log.close()
    with pytest.raises(StorageError, match="closed"):
        log.append(Noticed("late"))


def test_the_clock_may_be_set_back(tmp_path: Path) -> None:
    clock = FakeClock(2000.0)
    log = SessionLog.create(tmp_path / "s.jsonl", clock=clock)
    log.append(Noticed("a"))
    log.close()
    clock.set(1000.0)
    log = SessionLog.open(tmp_path / "s.jsonl", clock=clock)
    log.append(Noticed("b"))
    assert [(r.number, r.time) for r in log.records()] == [(1, 2000.0), (2, 2000.0)]
    log.close()
