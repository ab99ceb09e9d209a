"""Files of every kind: what is written, what is refused, and that no byte is lost."""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path

import pytest
from tests.effort import NIGHTLY

from assay.testing.server import Call, Reply, ScriptedServer

from .command import KEY, THRICE, Ended, Place, wait_for
from .conftest import Serve


def edited(place: Place, serve: Serve, path: str, old: str, new: str, **more: object) -> tuple[ScriptedServer, Ended]:
    """A run that reads a file and replaces text in it; the result of the edit is that of request 2."""
    read, edit = Call("@read", {"path": path}), Call("@edit", {"path": path, "old": old, "new": new, **more})
    server = serve([Reply("I read.", calls=(read,)), Reply("I edit.", calls=(edit,)), Reply("Done.")])
    return server, place.task(server, prompt=f"Edit {path}")


KINDS = {
    "crlf": ("one\r\ntwo old\r\nthree\r\n", "utf-8", ""),
    "bom": ("\ufeffone\ntwo old\nthree\n", "utf-8", ""),
    "latin-1": ("caf\xe9\ntwo old\nna\xefve\n", "latin-1", ""),
    "gbk": ("中文注释说明\ntwo old\n简体中文\n", "gbk", ""),
    "utf-16": ("\ufeffone é\ntwo old\nthree 中\n", "utf-16-le", ""),
    "mixed line ends": ("one\r\ntwo old\nthree\rfour\n", "utf-8", ""),
    "no last line end": ("one\ntwo old", "utf-8", ""),
    "tabs": ("\tone \t\n\t\ttwo old \t\n   three\t\n", "utf-8", ""),
    "bad bytes": ("caf\udce9 ééé ééé\ntwo old\n\udcff\n", "utf-8", "surrogateescape"),
    "form feeds": ("one\x0c\ntwo old\n\x1b[0m\u2028three\x85\n", "utf-8", ""),
}


@pytest.mark.row(54)
@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_outside_an_edit_changes(place: Place, serve: Serve, kind: str) -> None:
    text, codec, errors = KINDS[kind]
    before = text.encode(codec, errors or "strict")
    place.write({"a.txt": before})
    server, ended = edited(place, serve, "a.txt", "two old", "two new")
    ended.expect(10)
    assert not server.requests[2].last.results[0].is_error
    assert (place.project / "a.txt").read_bytes() == before.replace("old".encode(codec), "new".encode(codec))


@pytest.mark.row(55)
@THRICE
def test_a_file_that_changed_since_it_was_read_keeps_the_users_bytes(place: Place, serve: Serve, time: int) -> None:
    place.write({"a.txt": "two old\n"})
    edit = Call("@edit", {"path": "a.txt", "old": "old", "new": "new"})
    server = serve([Reply("I read.", calls=(Call("@read", {"path": "a.txt"}),)),
                    Reply("I edit.", delay=0.5, calls=(edit,)), Reply("It changed.")])  # fmt: skip
    process = place.start(server, "-p", "Edit a.txt", "--output-format", "json")
    wait_for(lambda: len(server.requests) == 2)
    place.write({"a.txt": "two old, but mine\n"})
    place.finish(process, 0.0)
    result = server.requests[2].last.results[0]
    assert result.is_error
    assert "changed" in result.text
    assert (place.project / "a.txt").read_text() == "two old, but mine\n"


class Racer(threading.Thread):
    """Replaces a file about a thousand times a second, and looks each time what became of its last write."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.over = threading.Event()
        self.count = 0
        self.lost: list[str] = []
        """What the other side wrote over our last write: that was lost, or was about to be put back."""

    def run(self) -> None:
        while not self.over.is_set():
            found = self.path.read_text()
            if "new" in found and f"line of the other {self.count}\n" not in found:
                self.lost.append(found.splitlines()[1])
            self.count += 1
            beside = self.path.with_name("beside.tmp")
            beside.write_text(f"line of the other {self.count}\nold\n")
            beside.rename(self.path)
            time.sleep(0.001)

    def stop(self) -> None:
        self.over.set()
        self.join()


@pytest.mark.row(56)
@THRICE
def test_a_racer_never_loses_its_last_write_silently(place: Place, serve: Serve, time: int) -> None:
    place.write({"a.txt": "line of the other 0\nold\n"})
    steps = [
        Reply(f"I edit, {number}.", delay=0.05, calls=tuple(
            Call("@edit", {"path": "a.txt", "old": "old", "new": f"new {number} {part}"}) for part in range(4)))
        for number in range(12)
    ]  # fmt: skip
    racer = Racer(place.project / "a.txt")
    server = serve([*steps, Reply("Done.")])
    racer.start()
    try:
        ended = place.task(server, prompt="Edit a.txt")
    finally:
        racer.stop()
    assert ended.code in (0, 6, 10), repr(ended)
    results = [result for turn in server.requests[-1].history for result in turn.results]
    assert racer.count > 50
    won = {f"new {at // 4} {at % 4}" for at, result in enumerate(results) if not result.is_error}
    assert won.isdisjoint(racer.lost)
    assert all("changed" in result.text or "not in the file" in result.text for result in results if result.is_error)


@pytest.mark.row(57)
def test_links_pipes_devices_and_folders_as_targets(place: Place, serve: Serve) -> None:
    outside = place.root / "outside.txt"
    outside.write_text("old\n")
    place.write({"a.txt": "old\n", "folder/b.txt": "old\n"})
    os.link(place.project / "a.txt", place.project / "hard.txt")
    (place.project / "inner").symlink_to("a.txt")
    (place.project / "outer").symlink_to(outside)
    (place.project / "dev").symlink_to("/dev/null")
    os.mkfifo(place.project / "pipe")
    names = ("inner", "outer", "dev", "pipe", "folder")
    calls = tuple(Call("@edit", {"path": name, "old": "old", "new": "new"}) for name in names)
    writes = tuple(Call("@write", {"path": name, "content": "x"}) for name in names[1:])
    server = serve([Reply("I edit.", calls=calls), Reply("I write.", calls=writes), Reply("Done.")])
    ended = place.task(server, prompt="Edit all")
    assert ended.code in (8, 10), repr(ended)
    results = [result for turn in server.requests[-1].history for result in turn.results]
    assert [result.is_error for result in results] == [False] + [True] * 8
    assert outside.read_text() == "old\n"
    assert (place.project / "inner").is_symlink()
    assert (place.project / "a.txt").read_text() == "new\n"
    assert (place.project / "outer").readlink() == outside
    assert (place.project / "pipe").is_fifo()
    # A hard link may lead out of the workspace, so writing parts it: the other name keeps what it had.
    assert (place.project / "hard.txt").read_text() == "old\n"


@pytest.mark.row(58)
def test_text_that_is_not_there_or_there_twice_is_refused_with_places(place: Place, serve: Serve) -> None:
    before = "def one():\n    return 1\n\n\ndef two():\n    return 1\n"
    place.write({"a.py": before})
    never = Call("@edit", {"path": "a.py", "old": "    return 2", "new": "    return 3"})
    twice = Call("@edit", {"path": "a.py", "old": "    return 1", "new": "    return 3"})
    server = serve([Reply("I read.", calls=(Call("@read", {"path": "a.py"}),)), Reply("I edit.", calls=(never, twice)),
                    Reply("No.")])  # fmt: skip
    place.task(server, prompt="Edit").expect(0, "answered")
    missing, double = server.requests[2].last.results
    assert missing.is_error
    assert "not in the file" in missing.text
    assert "line" in missing.text
    assert double.is_error
    assert "2 times (lines 2, 6)" in double.text
    assert (place.project / "a.py").read_text() == before


@pytest.mark.row(59)
def test_mode_and_attributes_are_kept_and_read_only_is_refused(place: Place, serve: Serve) -> None:
    place.write({"a.sh": "echo old\n", "fixed.txt": "old\n"})
    path = place.project / "a.sh"
    path.chmod(0o755)
    try:
        os.setxattr(path, "user.note", b"kept")
        marked = True
    except OSError:  # a file system without them
        marked = False
    (place.project / "fixed.txt").chmod(0o444)
    calls = tuple(Call("@edit", {"path": name, "old": "old", "new": "new"}) for name in ("a.sh", "fixed.txt"))
    server = serve([Reply("I edit.", calls=calls), Reply("Done.")])
    place.task(server, prompt="Edit").expect(10)
    done, refused = server.requests[1].last.results
    assert not done.is_error
    assert path.stat().st_mode & 0o777 == 0o755
    assert not marked or os.getxattr(path, "user.note") == b"kept"
    assert refused.is_error
    assert "read-only" in refused.text
    assert (place.project / "fixed.txt").read_text() == "old\n"


@pytest.mark.row(60)
@pytest.mark.load("a file of 1 GB in the project")
@pytest.mark.slow
@pytest.mark.parametrize("ignored", [True, False] if NIGHTLY else [True])
def test_a_file_of_1_gb_is_bounded(place: Place, serve: Serve, ignored: bool) -> None:
    place.patience = 90 if ignored else 900
    with (place.project / "big.txt").open("wb") as file:
        file.write(b"first line\n")
        file.truncate(1_000_000_000)
    place.write({"a.txt": "old\n", ".gitignore": "big.txt\n" if ignored else ""})
    calls = (
        Call("@read", {"path": "big.txt"}),
        Call("Grep", {"pattern": "old", "output_mode": "content"}),
        Call("@edit", {"path": "big.txt", "old": "first", "new": "second"}),
        Call("@edit", {"path": "a.txt", "old": "old", "new": "new"}),
    )
    server = serve([Reply("I look.", calls=calls), Reply("Done.")])
    ended = place.task(server, "--check", "grep new a.txt", prompt="Look").expect(0, "verified")
    results = server.requests[1].last.results
    assert results[2].is_error
    assert sum(len(result.text) for result in results) < 64_000
    assert (place.project / "big.txt").stat().st_size == 1_000_000_000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 500_000
    assert ended.seconds < place.patience


FILES = 1_000_000 if NIGHTLY else 100_000


@pytest.mark.row(60)
@pytest.mark.load("a tree of 100,000 files, a million by night")
@pytest.mark.slow
def test_a_tree_of_very_many_files_is_bounded(place: Place, serve: Serve) -> None:
    for folder in range(FILES // 1000):
        directory = place.project / f"folder{folder}"
        directory.mkdir()
        for number in range(1000):
            os.close(os.open(directory / f"file{number}.txt", os.O_CREAT | os.O_WRONLY))
    place.patience = FILES / 1000
    place.write({"a.txt": "old\n"})
    calls = (
        Call("Glob", {"pattern": "**/file99*.txt"}),
        Call("@read", {"path": "."}),
        Call("@edit", {"path": "a.txt", "old": "old", "new": "new"}),
    )
    server = serve([Reply("I look.", calls=calls), Reply("Done.")])
    place.task(server, prompt="Look").expect(10)
    results = server.requests[1].last.results
    assert [result.is_error for result in results] == [False] * 3
    assert sum(len(result.text) for result in results) < 64_000
    assert len(server.requests[0].raw) < 32_000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1_000_000


@pytest.mark.row(60)
def test_names_with_control_characters_are_escaped_wherever_they_show(place: Place, serve: Serve) -> None:
    names = ("a\nb.txt", "esc\x1b[2J.txt", "bell\x07.txt", os.fsdecode(b"latin-\xe9.txt"), "u\u202etxt.exe")
    for name in names:
        (place.project / name).write_text("needle\n")
    calls = (Call("Glob", {"pattern": "*"}), Call("Grep", {"pattern": "needle"}), Call("@read", {"path": "."}),
             Call("@shell", {"command": "ls"}))  # fmt: skip
    server = serve([Reply("I look.", calls=calls), Reply("Done.")])
    ended = place.run(server, "-p", "Look", "--verbose").expect(0)
    assert not set(ended.err + ended.out) & {"\x1b", "\x07", "\u202e"}
    for result in server.requests[1].last.results:
        assert not result.is_error
        assert not set(result.text) & {"\x1b", "\x07"}, result.text


@pytest.mark.row(61)
def test_a_change_that_half_applies_is_not_made(place: Place, serve: Serve) -> None:
    """One of two places is beyond what the encoding holds, or a file of two: what is refused changes nothing."""
    place.write({"a.txt": "caf\xe9 old\nold\n".encode("latin-1"), "b.txt": "old\n"})
    beyond = Call("@edit", {"path": "a.txt", "old": "old", "new": "中", "replace_all": True})
    patch = Call("apply_patch", {"patch": "--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-old\n+new\n"})
    server = serve([Reply("I edit.", calls=(beyond, patch)), Reply("No.")])
    place.task(server, prompt="Edit").expect(0, "answered")
    refused, unknown = server.requests[1].last.results
    assert refused.is_error
    assert "can't hold" in refused.text
    assert unknown.is_error
    assert (place.project / "a.txt").read_bytes() == "caf\xe9 old\nold\n".encode("latin-1")
    assert (place.project / "b.txt").read_text() == "old\n"


def test_a_known_secret_in_a_file_reaches_neither_the_model_nor_the_log(place: Place, serve: Serve) -> None:
    place.write({"conf.txt": f"key = {KEY}\n", "long.txt": "x\n" * 40_000 + KEY + "\ny" * 40_000})
    calls = (Call("@read", {"path": "conf.txt"}), Call("@shell", {"command": "cat conf.txt; base64 -w8 conf.txt"}),
             Call("@shell", {"command": "cat long.txt"}))  # fmt: skip
    server = serve([Reply("I look.", calls=calls), Reply("Done.")])
    place.task(server, prompt="Look").expect(0, "answered")
    results = server.requests[1].last.results
    assert ["key = [secret K]" in result.text for result in results] == [True, True, False]
    assert not any(KEY.encode() in request.raw for request in server.requests)
    assert results[1].text.count("[secret K]") == 2
    assert list(place.state.glob("sessions/*/*/*.txt"))  # what was too long to show
    assert not place.kept(KEY)
