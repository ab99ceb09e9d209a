"""Command lines whose effects are known: what developers write all day, and what hides what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.core.policy import Effect
from assay.policy.shell_effects import effects_of

DATA = Path(__file__).parent / "data"


def corpus(name: str) -> list[tuple[str, list[str]]]:
    """Lines with what stands indented below each."""
    found: list[tuple[str, list[str]]] = []
    for row in (DATA / name).read_text("utf-8").split("\n"):
        if row.startswith("    "):
            found[-1][1].append(row.strip())
        elif row and not row.startswith("# "):
            found.append((row.replace("⏎", "\n").replace("␍", "\r").replace("⍽", "\u00a0"), []))
    return found


ORDINARY, HOSTILE = corpus("ordinary.txt"), corpus("hostile.txt")


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")


@pytest.mark.parametrize(("line", "wanted"), ORDINARY, ids=[line for line, _ in ORDINARY])
def test_ordinary_lines_reach_no_sink(line: str, wanted: list[str]) -> None:
    found = effects_of(line)
    assert sorted(wanted) == sorted(f"{e.kind} {e.target}" for e in found if e.kind not in ("execute", "read", "none"))


def test_there_are_enough_ordinary_lines() -> None:
    lines = [line for line, _ in ORDINARY]
    assert len(set(lines)) >= 250
    assert not [line for line in lines if any(effect.kind == "unknown" for effect in effects_of(line))]


@pytest.mark.parametrize(("line", "wanted"), HOSTILE, ids=[repr(line) for line, _ in HOSTILE])
def test_what_is_hidden_is_found(line: str, wanted: list[str]) -> None:
    found = effects_of(line)
    for effect in wanted:
        kind, _, target = effect.partition(" ")
        assert any(each.kind == kind and target in ("", each.target) for each in found), (effect, found)


@pytest.mark.parametrize(("line", "wanted"), HOSTILE[::3], ids=[repr(line) for line, _ in HOSTILE[::3]])
def test_what_is_hidden_is_found_behind_other_commands(line: str, wanted: list[str]) -> None:
    """A heavier line around it must not lose it. (Lines that don't parse are unknown anywhere.)"""
    found = effects_of(f"if [ -f a ]; then\nfor i in 1 2; do\n{line}\ndone; fi")
    kinds = {effect.kind for effect in found}
    for effect in wanted:
        assert effect.split()[0] in kinds or "unknown" in kinds, (effect, found)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("env A=1 timeout 5 npm test -- x", "npm test -- x"),
        ("bash -c 'cd a && npm test'", "npm test"),
        ("echo a b | xargs -n1 git push", "git push a b"),
        ("find . -name '*.c' -exec gcc -c {} \\;", "gcc -c ./**/*.c"),
        ("x=push; git $x origin", "git push origin"),
        ("for x in push pull; do git $x; done", "git pull"),
        ("cat <<EOF | sh\nnpm test\nEOF", "npm test"),
        ("git commit -m 'a; b'", "git commit -m 'a; b'"),
        ("npx jest", "jest"),
        ("python -m pip list", "pip list"),
        ("! command -p npm test", "npm test"),
    ],
)
def test_every_program_that_is_run_is_named(line: str, command: str) -> None:
    assert Effect("execute", command) in effects_of(line)


def test_paths_are_seen_from_the_directory_given() -> None:
    assert Effect("write", "a/b") in effects_of("> b", "a")
    assert Effect("write", "b") in effects_of("> ../b", "a")
    assert Effect("write", "/x/b") in effects_of("> b", "/x")
    assert Effect("write", "/home/me/b") in effects_of("cd; > b", "a")
    assert Effect("destroy", "a") in effects_of('rm -rf "$PWD"', "a")


def test_what_can_never_be_judged() -> None:
    for line in ("x" * 20_001, "echo \0", "echo \ud800", "echo \ue000"):
        assert [effect.kind for effect in effects_of(line)] == ["unknown"]
    assert effects_of("") == effects_of(" # nothing") == (Effect("none"),)
