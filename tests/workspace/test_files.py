"""Files: bytes in, bytes out, never outside, never over a change unseen."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.effort import inputs

from assay.core.errors import (
    ChangedMeanwhile,
    FileMissing,
    NotAFile,
    OutsideWorkspace,
    ReadOnly,
    StorageFull,
    WorkspaceError,
)
from assay.workspace.files import delete_file, read_file, write_file

relaxed = settings(max_examples=inputs(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(data=st.binary(max_size=3000), more=st.binary(max_size=3000))
@example(data=b"\xef\xbb\xbfa\r\nb\n", more="ä\u2028".encode("utf-16"))
def test_any_bytes_survive(root: Path, data: bytes, more: bytes) -> None:
    path = root / "file"
    path.unlink(missing_ok=True)
    stamp = write_file(str(root), "file", data, None)
    assert path.read_bytes() == data
    assert write_file(str(root), "file", more, stamp) == read_file(str(root), "file").stamp
    assert path.read_bytes() == more
    assert os.listdir(root) == ["file"]


PART = st.one_of(
    st.sampled_from(["..", ".", "", "in", "out", "up", "loop", "deep", "etc", "passwd"]), st.text(max_size=8)
)


@relaxed
@given(parts=st.lists(PART, max_size=7), absolute=st.booleans())
def test_no_path_writes_outside(tmp_path: Path, root: Path, parts: list[str], absolute: bool) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (root / "deep").mkdir()
        (root / "in").symlink_to("deep")
        (root / "out").symlink_to("../outside")
        (root / "up").symlink_to("..")
        (root / "loop").symlink_to("loop")
    path = ("/" if absolute else "") + "/".join(parts)
    before = sorted(os.listdir(tmp_path))
    with contextlib.suppress(WorkspaceError, UnicodeEncodeError):
        write_file(str(root), path, b"x", None)
    assert os.listdir(outside) == []
    assert sorted(os.listdir(tmp_path)) == before


def test_links_inside_are_followed_and_kept(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/target").write_bytes(b"old")
    (root / "relative").symlink_to("d/target")
    (root / "absolute").symlink_to(root / "d" / "target")
    (root / "dir").symlink_to("d")
    for name in ("relative", "absolute", "dir/target"):
        stamp = read_file(str(root), name).stamp
        write_file(str(root), name, name.encode(), stamp)
        assert (root / "d/target").read_bytes() == name.encode()
    assert (root / "relative").is_symlink()
    assert (root / "absolute").is_symlink()
    (root / "dangling").symlink_to("d/made")
    write_file(str(root), "dangling", b"new", None)
    assert (root / "d/made").read_bytes() == b"new"
    delete_file(str(root), "relative", read_file(str(root), "relative").stamp)
    assert (root / "d/target").exists()
    assert not os.path.lexists(root / "relative")


def test_links_outside_are_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (root / "file").symlink_to(tmp_path / "secret")
    (root / "relative").symlink_to("../secret")
    (root / "parent").symlink_to("..")
    (root / "chain").symlink_to("file")
    for path in ("file", "relative", "parent/secret", "parent/new", "chain", "parent/project/../secret"):
        with pytest.raises(OutsideWorkspace):
            read_file(str(root), path)
        with pytest.raises(OutsideWorkspace):
            write_file(str(root), path, b"x", None)
    assert (tmp_path / "secret").read_text() == "s"


def test_a_hard_link_is_broken_rather_than_written_through(root: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    os.link(tmp_path / "theirs", root / "mine")
    write_file(str(root), "mine", b"mine", read_file(str(root), "mine").stamp)
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_pipes_sockets_devices_and_directories_are_refused_at_once(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "dir").mkdir()
    names = ["pipe", "dir", "socket"]
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(root)  # a socket's path is short
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        if os.getuid() == 0:
            with contextlib.suppress(PermissionError):
                os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
                names.append("device")
        for name in names:
            with pytest.raises(NotAFile):
                read_file(str(root), name)
            with pytest.raises(NotAFile):
                write_file(str(root), name, b"x", None)


def test_mode_owner_and_attributes_are_kept(root: Path) -> None:
    path = root / "tool"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o751)
    with contextlib.suppress(OSError):
        os.setxattr(path, "user.colour", b"red")
    kept = os.listxattr(path)
    if os.getuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()
    write_file(str(root), "tool", b"new", read_file(str(root), "tool").stamp)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.listxattr(path) == kept


def test_a_new_file_follows_the_umask(root: Path) -> None:
    old = os.umask(0o027)
    try:
        write_file(str(root), "a", b"", None)
    finally:
        os.umask(old)
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o640


def test_a_read_only_file_is_refused(root: Path) -> None:
    (root / "a").write_text("x")
    (root / "a").chmod(0o444)
    with pytest.raises(ReadOnly):
        write_file(str(root), "a", b"y", read_file(str(root), "a").stamp)
    assert (root / "a").read_text() == "x"


def test_a_change_since_reading_is_never_overwritten(root: Path) -> None:
    (root / "a").write_text("read")
    stamp = read_file(str(root), "a").stamp
    status = (root / "a").stat()
    (root / "a").write_text("user")
    os.utime(root / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ChangedMeanwhile):
        write_file(str(root), "a", b"mine", stamp)
    assert (root / "a").read_text() == "user"


def test_the_same_bytes_saved_again_are_no_change(root: Path) -> None:
    (root / "a").write_text("same")
    stamp = read_file(str(root), "a").stamp
    (root / "b").write_text("same")
    (root / "b").rename(root / "a")
    write_file(str(root), "a", b"mine", stamp)
    assert (root / "a").read_text() == "mine"


def test_a_racer_never_loses_its_last_write(root: Path) -> None:
    """Another program replaces the file about a thousand times a second while we try to write it."""
    target = root / "a"
    target.write_bytes(b"0")
    stop = threading.Event()
    last = [b"0"]
    lost: list[bytes] = []

    def race() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            data = b"racer %d" % number
            (root / "racer").write_bytes(data)
            os.replace(root / "racer", target)
            last[0] = data
            time.sleep(0.0007)

    racer = threading.Thread(target=race)
    racer.start()
    try:
        won = 0
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            content = read_file(str(root), "a")
            with contextlib.suppress(ChangedMeanwhile):
                write_file(str(root), "a", content.data + b" seen", content.stamp)
                won += 1
    finally:
        stop.set()
        racer.join()
    final = target.read_bytes()
    if final not in (last[0], last[0] + b" seen"):
        lost.append(final)
    assert not lost
    assert sorted(os.listdir(root)) == ["a"]


def test_a_full_disk_leaves_the_old_file(root: Path) -> None:
    (root / "a").write_bytes(b"old")
    stamp = read_file(str(root), "a").stamp
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(StorageFull):
            write_file(str(root), "a", b"x" * 100_000, stamp)
        with pytest.raises(StorageFull):
            write_file(str(root), "b", b"x" * 100_000, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (root / "a").read_bytes() == b"old"
    assert os.listdir(root) == ["a"]


@pytest.mark.parametrize("name", ["new\nline", "esc\x1b[31m", os.fsdecode(b"caf\xe9"), " lead", "-dash", "a" * 250])
def test_strange_names_work(root: Path, name: str) -> None:
    write_file(str(root), name, b"x", None)
    assert read_file(str(root), name).data == b"x"
    with pytest.raises(ChangedMeanwhile) as caught:
        write_file(str(root), name, b"y", None)
    assert str(caught.value).isprintable()
    delete_file(str(root), name, read_file(str(root), name).stamp)
    assert os.listdir(root) == []


def test_a_missing_root_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        read_file(str(tmp_path / "gone"), "a")
