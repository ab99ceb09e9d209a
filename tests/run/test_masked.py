"""No secret that is known reaches the log, and with it the model; what the user says is theirs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from assay.core.events import CallFinished, CheckFinished, ContextAdded, InputReceived
from assay.core.messages import Image, Text, ToolResult
from assay.core.policy import OPERATOR
from assay.policy.mask import SecretMask
from assay.run.masked import CHUNK, heard, mask_file
from assay.run.run import Run, RunOptions
from assay.testing import reply

from .house import House, read, words

KEY = "sk-0123456789abcdef"
MASK = SecretMask({"K": KEY})


def masking(house: House, **options: object) -> Run:
    run = house.run(**options)
    return Run(replace(run.parts, mask=MASK), replace(RunOptions(), **options))


async def test_a_result_is_masked_before_it_is_logged_and_sent() -> None:
    house = House(reply("", [read("a.txt")]), reply("Done."), files={"a.txt": f"key = {KEY}\n".encode()})
    await masking(house).turn(words(f"Is it {KEY}?"))
    [result] = house.of(CallFinished)
    assert isinstance(result, CallFinished)
    assert "key = [secret K]" in result.result.content[0].text
    assert result.seen.keys() == {"a.txt"}
    sent = msgspec.json.encode(house.scripted.requests[1].messages).decode()
    assert sent.count(KEY) == 1  # as the user said it
    assert "key = [secret K]" in sent


async def test_output_of_checks_is_masked_too() -> None:
    house = House(reply("Done."), files={"a.txt": b"bad\n"})
    house.workspace.files["a.txt"] = b"good\n"
    run = masking(house, checks=("grep good a.txt",))
    await run.turn(words("go"))
    for event in house.of(CheckFinished):
        run.record(replace(event, run=replace(event.run, tail=KEY)))
    assert house.of(CheckFinished)
    assert house.of(CheckFinished)[-1].run.tail == "[secret K]"


def test_what_is_masked_and_what_is_said_by_the_user() -> None:
    said = InputReceived("t", (Text(KEY),))
    assert heard(MASK, said) is said
    own = ContextAdded("approval", KEY, label=OPERATOR)
    assert heard(MASK, own) is own
    assert heard(MASK, ContextAdded("instructions", KEY)) == ContextAdded("instructions", "[secret K]")
    plain = CallFinished(ToolResult("1", (Text("x"),)), debug={"n": [1, None, {"a": 0.5}]})
    assert heard(MASK, plain) is plain
    picture = CallFinished(
        ToolResult("1", (Image("image/png", "c2stMDEyMzQ1Njc4OWFiY2RlZg=="),)), f"$ {KEY}", {"a": [KEY]}
    )
    clean = heard(MASK, picture)
    assert clean == CallFinished(
        ToolResult("1", (Text("[image left out: it holds a secret]"),)), "$ [secret K]", {"a": ["[secret K]"]}
    )


@pytest.mark.parametrize("at", [0, 5, CHUNK - 7, CHUNK, 3 * CHUNK - 1])
def test_a_spilled_file_is_masked_wherever_the_secret_lies(tmp_path: Path, at: int) -> None:
    file = tmp_path / "out.txt"
    before, after = b"\xff" + b"a" * at, "é\r\n".encode() + b"b" * 40_000
    file.write_bytes(before + KEY.encode() + after)
    mask_file(MASK, str(file))
    assert file.read_bytes() == before + b"[secret K]" + after
    assert list(tmp_path.iterdir()) == [file]
    was = file.stat()
    mask_file(MASK, str(file))
    assert file.stat().st_ino == was.st_ino
    mask_file(MASK, str(tmp_path / "missing"))
