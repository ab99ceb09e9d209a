"""Bad input and bad disks: a clear outcome, and nothing of the user's lost."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from assay.testing.server import Call, Reply

from .command import Place, unbroken, wait_for
from .conftest import Serve


def test_a_binary_file_is_refused_and_kept(place: Place, serve: Serve) -> None:
    data = bytes(range(256)) * 8
    place.write({"image.bin": data})
    server = serve([
        Reply("I read.", calls=(Call("@read", {"path": "image.bin"}),)),
        Reply("I edit.", calls=(Call("@edit", {"path": "image.bin", "old": "abc", "new": "x"}),)),
        Reply("It is binary."),
    ])  # fmt: skip
    place.task(server, prompt="Read it").expect(0, "answered")
    assert "binary" in server.requests[1].last.results[0].text
    assert (place.project / "image.bin").read_bytes() == data


@pytest.mark.row(54, 59)
def test_bytes_around_an_edit_stay_as_they_are(place: Place, serve: Serve) -> None:
    before = b"\xef\xbb\xbfna\xc3\xafve\r\nold line\r\nlast without end"
    place.write({"a.txt": before})
    (place.project / "a.txt").chmod(0o750)
    edit = Call("@edit", {"path": "a.txt", "old": "old line", "new": "new line"})
    server = serve([Reply("I read.", calls=(Call("@read", {"path": "a.txt"}),)), Reply("I edit.", calls=(edit,)),
                    Reply("Done.")])  # fmt: skip
    place.task(server, "--check", "grep new a.txt", prompt="Make it new").expect(0, "verified")
    assert (place.project / "a.txt").read_bytes() == before.replace(b"old", b"new")
    assert (place.project / "a.txt").stat().st_mode & 0o777 == 0o750


@pytest.mark.row(55)
def test_a_file_that_changed_meanwhile_is_not_overwritten(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "old\n"})
    write = Call("@write", {"path": "a.txt", "content": "the model's\n"})
    server = serve([Reply("I read.", calls=(Call("@read", {"path": "a.txt"}),)),
                    Reply("I write.", calls=(write,), delay=0.5), Reply("It changed.")])  # fmt: skip
    began = time.monotonic()
    process = place.start(server, "-p", "Change a.txt", "--output-format", "json")
    wait_for(lambda: len(server.requests) == 2)
    place.write({"a.txt": "the user's\n"})
    place.finish(process, began)
    assert (place.project / "a.txt").read_text() == "the user's\n"
    assert "changed" in server.requests[2].last.results[0].text


@pytest.mark.row(57)
@pytest.mark.parametrize("path", ["../outside.txt", "/etc/assay-test", "link/outside.txt"])
def test_nothing_is_written_outside(place: Place, serve: Serve, path: str) -> None:
    (place.project / "link").symlink_to(place.home)
    server = serve([Reply("I write.", calls=(Call("@write", {"path": path, "content": "x"}),)), Reply("No.")])
    ended = place.task(server, prompt="Write it")
    assert ended.code in (0, 8), repr(ended)
    assert server.requests[1].last.results[0].is_error
    assert not (place.project / path).exists()


def test_confined_commands_see_no_key_no_home_and_no_network(place: Place, serve: Serve) -> None:
    (place.home / ".netrc").write_text("machine x password hidden-word")
    script = f"env; cat {place.home}/.netrc; echo x > {place.home}/made; echo x > /usr/made; cat < /dev/tcp/127.0.0.1/1"
    server = serve([Reply("I look.", calls=(Call("@shell", {"command": script}),)), Reply("Done.")])
    place.task(server, prompt="Look").expect(0, "answered")
    told = server.requests[1].raw.decode()
    assert "hidden-word" not in told
    assert place.variables["K"] not in told
    assert not (place.home / "made").exists()


@pytest.mark.row(38)
@pytest.mark.slow
def test_output_without_measure_is_bounded(place: Place, serve: Serve) -> None:
    call = Call("@shell", {"command": "head -c 300000000 /dev/zero | tr '\\0' 'a'; echo; echo the end"})
    server = serve([Reply("I print.", calls=(call,)), Reply("Done.")])
    ended = place.task(server, prompt="Print").expect(0, "answered")
    assert ended.seconds < 15
    assert len(server.requests[1].raw) < 64_000
    assert "the end" in server.requests[1].last.results[0].text
    assert sum(path.stat().st_size for path in place.home.rglob("*") if path.is_file()) < 80_000_000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 500_000


@pytest.mark.row(51)
@pytest.mark.parametrize("made", ["read-only", "a file"])
def test_state_that_cannot_be_written(place: Place, serve: Serve, made: str) -> None:
    state = place.root / "state"
    if made == "a file":
        state.write_text("")
    elif not _mounted(state, "ro"):
        state.mkdir(mode=0o500)
        if os.access(state, os.W_OK):
            shutil.rmtree(state)
            state.write_text("")  # nothing is read-only for root here
    try:
        ended = place.task(serve(Reply("Four.")), prompt="x", env={"XDG_STATE_HOME": str(state)}).expect(9, "storage")
    finally:
        _unmounted(state)
    assert str(state) in ended.result["errors"][0]


MUCH = [
    Reply(f"I write, {n}. " + "x" * 3_000, calls=(Call("@write", {"path": f"new{n}", "content": "y" * 5_000}),))
    for n in range(40)
]


@pytest.mark.row(50)
def test_a_log_that_cannot_grow_ends_the_run_and_keeps_the_files(place: Place, serve: Serve) -> None:
    old = "old\n" * 20_000
    place.write({"a.txt": old})
    place.commit()
    server = serve([*MUCH, Reply("Done.")])
    ended = place.task(server, prompt="Write much", full=True).expect(9, "storage")
    assert ended.err.startswith("error: ") or "\nerror: " in ended.err
    assert (place.project / "a.txt").read_text() == old
    assert all(path.read_text() == "y" * 5_000 for path in place.project.glob("new*"))
    resumed = place.run(server, "--continue", "-p", "--output-format", "json")
    assert resumed.result["result"] == "Done."
    assert unbroken(server.requests)


@pytest.mark.row(50)
@pytest.mark.parametrize("full", ["state", "project"])
def test_a_full_disk_loses_nothing(place: Place, serve: Serve, full: str) -> None:
    disk = place.project if full == "project" else place.root / "state"
    if disk.exists():
        disk.rmdir()
    mounted = _mounted(disk, "size=300k")
    disk.mkdir(exist_ok=True)
    try:
        place.write({"a.txt": "old\n" * 10_000})
        edit = Call("@edit", {"path": "a.txt", "old": "old\nold\nold\n", "new": "new\n" * 80_000})
        more = Call("@write", {"path": "b.txt", "content": "z" * 400_000})
        server = serve([Reply("I write.", calls=(edit, more)), Reply("It is full.")])
        env = {"XDG_STATE_HOME": str(place.root / "state")}
        ended = place.task(server, prompt="Write", env=env, full=not mounted)
        text = (place.project / "a.txt").read_text()
        if full == "state":
            ended.expect(9, "storage")
            assert not mounted or "free some space" in ended.result["errors"][0]
        else:
            assert ended.code in (0, 9), repr(ended)
            assert text == "old\n" * 10_000
            assert sorted(path.name for path in place.project.iterdir()) == ["a.txt"]
        assert text in ("old\n" * 10_000, ("old\n" * 10_000).replace("old\nold\nold\n", "new\n" * 80_000, 1))
    finally:
        _unmounted(disk)


def _mounted(path: Path, options: str) -> bool:
    path.mkdir()
    done = subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)), capture_output=True)
    if done.returncode:
        path.rmdir()
    return not done.returncode


def _unmounted(path: Path) -> None:
    if path.is_mount():
        subprocess.run(("umount", str(path)), check=True)


@pytest.mark.row(60)
@pytest.mark.parametrize(
    "names", [["a\nb.txt", "esc\x1b[2J.txt"], [os.fsdecode(b"latin-\xe9.txt")]], ids=["control", "latin"]
)
def test_odd_file_names(place: Place, serve: Serve, names: list[str]) -> None:
    for name in names:
        (place.project / name).write_text("x")
    place.write({"a.txt": "old\n"})
    place.commit()
    edit = Call("@edit", {"path": "a.txt", "old": "old", "new": "new"})
    server = serve([Reply("I edit.", calls=(edit,)), Reply("Done.")])
    ended = place.task(server, "--check", "grep new a.txt", prompt="Make it new").expect(0, "verified")
    assert "\x1b" not in ended.err


def test_an_empty_home_and_project_are_left_clean(place: Place, serve: Serve) -> None:
    place.run(serve(Reply("Four.")), "-p", "What is 2 + 2?").expect(0)
    assert list(place.project.iterdir()) == []
    assert [path.name for path in place.home.iterdir()] == [".local"]
    assert list((place.root / "tmp").iterdir()) == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in place.state.rglob("*.jsonl"))
