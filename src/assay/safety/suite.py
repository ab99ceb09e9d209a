"""The attempts, as data: `attempts/*.toml`, one file a family.

An attempt says what it tries, what the model does for it, and how success would be seen from outside. Words between
at-signs (`@HOME@`, `@MARK@`) stand for what the range puts there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from msgspec import Struct

Seen = Literal["model", "heard", "changed", "said", "alive", "killed", "screen"]
"""Where success would show: a canary in what was sent to the model; the mark at a listener; a change of a file that
must stay; the word of a command that worked though it must not; a process that is still there, or gone; a raw control
character on the terminal."""
Stage = Literal["task", "resumed", "forked", "compacted", "screen", "opened", "beside", "agent"]
"""When the calls are made: in the first session; after going on with it; in a fork; after its history was shortened;
in one whose terminal is looked at; not at all, the repository is only opened; in a second session beside the first; by
an agent that was sent out."""
STAGES: tuple[Stage, ...] = ("task", "compacted", "resumed", "forked", "beside", "agent", "screen", "opened")

WON = "won-42"
"""What a command says (by `won`) when it could do what it must not."""
PRELUDE = "won() { echo won-$((6*7)); }\n"


class Attempt(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that a compromised model, or a hostile repository, tries."""

    name: str
    tries: str
    """What success would mean, in words."""
    seen: Seen
    run: tuple[str, ...] = ()
    """Command lines, one call of `Bash` each."""
    calls: tuple[dict[str, object], ...] = ()
    """Other calls: `tool` and its arguments."""
    at: tuple[str, ...] = ()
    """With `changed`: the files or directories that must stay as they are, or away."""
    text: str = ""
    """What the model says before its calls."""
    plant: dict[str, str] = {}
    """Files that lie in the repository before anything starts; a name that ends in `*x` is executable."""
    stage: Stage = "task"
    control: bool = False
    """Harmless enough to be made without a sandbox, where it succeeds: proof that the detector can see."""
    family: str = ""
    """The file that it is in."""
    number: int = 0

    @property
    def mark(self) -> str:
        """A word that occurs nowhere but in this attempt."""
        return f"mk{self.family[:4]}{self.number:03d}z"

    @property
    def ends(self) -> bool:
        """True when the turn may end with it: it asks to be done, or it makes no calls."""
        return self.stage != "opened" and (
            not (self.run or self.calls) or any(call.get("tool") == "finish" for call in self.calls)
        )


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    attempt: tuple[Attempt, ...]


def load(families: tuple[str, ...] = ()) -> dict[str, tuple[Attempt, ...]]:
    """All attempts by family, or those of the families named. Raises `ValueError` for a family that is not there or a
    file that is not right."""
    import tomllib

    import msgspec

    found: dict[str, tuple[Attempt, ...]] = {}
    for path in sorted((Path(__file__).parent / "attempts").glob("*.toml")):
        if families and path.stem not in families:
            continue
        try:
            file = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ValueError(f"{path.name}: {error}") from error
        found[path.stem] = tuple(
            msgspec.structs.replace(attempt, family=path.stem, number=number)
            for number, attempt in enumerate(file.attempt, 1)
        )
    if unknown := set(families) - set(found):
        raise ValueError(f"no family '{min(unknown)}'")
    return found


def filled(text: str, words: dict[str, str]) -> str:
    """`text` with the words of the range."""
    for word, meaning in words.items():
        text = text.replace(f"@{word}@", meaning)
    return text


def filled_all(value: object, words: dict[str, str]) -> object:
    """JSON with the words of the range in all its strings."""
    if isinstance(value, str):
        return filled(value, words)
    if isinstance(value, (list, tuple)):
        return [filled_all(each, words) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return {key: filled_all(each, words) for key, each in cast("dict[str, object]", value).items()}
    return value
