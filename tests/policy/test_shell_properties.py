"""What holds for any line: nothing raises, nothing takes long, nothing is lost by wrapping. And bash itself as the
judge of how words are read."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from tests.policy.test_shell_corpus import HOSTILE, ORDINARY

from assay.core.policy import Effect
from assay.policy.shell.expansion import HOLE, Scope, expand
from assay.policy.shell.parser import parse
from assay.policy.shell.syntax import NotUnderstood, Simple
from assay.policy.shell.walker import Walker
from assay.policy.shell_effects import effects_of

TOKENS = r"""
rm -rf x echo a=1 $a ${a:-b} ${ } { {a,b} $( ) ( ` ' " \ ; ;; & && | || |& < > >> <<EOF EOF <<< <( 2>&1 &> if then fi
for in do done while case esac function f() [[ ]] (( )) $(( # ! ~ * $' \x41 time coproc eval bash -c xargs find -exec
git push cd .. / = sed s/a/b/e $@ $1 export PATH= IFS= [ é
"""
FRAGMENTS = (*TOKENS.split(), "\n", "\t", " ", "\r", "\u00a0")
LINES = st.lists(st.sampled_from(FRAGMENTS), max_size=25).flatmap(
    lambda words: st.sampled_from([" ".join(words), "".join(words)])
)
KNOWN = [line for line, _ in (*ORDINARY, *HOSTILE)]
CUT = st.builds(lambda line, end: line[: end % len(line)], st.sampled_from(KNOWN), st.integers(0, 400))


def judged(line: str) -> set[Effect]:
    """As `effects_of`, but an error comes out."""
    walker = Walker()
    walker.line(line)
    assert set(walker.effects()) == set(effects_of(line))
    return set(walker.effects())


def understood(line: str) -> bool:
    try:
        parse(line)
    except NotUnderstood:
        return False
    return True


@given(st.one_of(st.text(max_size=200), LINES, CUT))
@example("$(" * 5000)
@example("((" * 5000)
@example("{" * 300)
@example("{a,b}" * 40)
@example("a=$a$a; " * 40)
@example("x" * 20_000)
@example("echo " + "a" * 19_000 + "`")
@example("f() { f; f; }; f")
@example("env " * 4_900 + "ls")
@example("v=" + "a" * 18_000 + ";echo ${v%%*b*}${v##*b*}")
@example("{" * 9_000 + "a,b" + "}" * 9_000)
@example("awk '" + "print >" * 2_500 + "'")
@example("echo " + "a " * 9_990)
@example("x='" + "a " * 9_000 + "'; rm $x")
@example("f() { g; g; }; g() { h; h; }; h() { f; f; }; f")
@example("for a in 1 2 3 4 5; do for b in 1 2 3 4 5; do for c in 1 2 3; do $a$b$c; done; done; done")
@settings(max_examples=300, deadline=None)
def test_any_text_is_judged(line: str) -> None:
    assert judged(line)


@given(LINES)
@settings(max_examples=200, deadline=None)
def test_what_follows_is_never_lost(line: str) -> None:
    if understood(line) and understood(f"{line}\nrm -rf /x"):
        found = judged(f"{line}\nrm -rf /x")
        kinds = {effect.kind for effect in found}
        assert "destroy" in kinds or "unknown" in kinds


@pytest.mark.parametrize("line", KNOWN[1::2])
def test_a_destroying_end_shows_behind_any_known_line(line: str) -> None:
    if not understood(line):
        return
    assert any(effect.kind == "destroy" for effect in judged(f"{line}\nrm -rf /x"))


@pytest.mark.parametrize("line", KNOWN[::2])
def test_wrapping_a_line_keeps_its_effects(line: str) -> None:
    kept = {effect for effect in judged(line) if effect.kind not in ("unknown", "none")}
    assert kept <= judged(f"bash -c {shlex.quote(line)}")
    assert kept <= judged(f"eval {shlex.quote(line)}")
    assert kept <= judged(f"env -i X=1 timeout 9 bash -c {shlex.quote(line)}")
    if any(effect.kind == "unknown" for effect in judged(line)):
        assert any(effect.kind == "unknown" for effect in judged(f"bash -c {shlex.quote(line)}"))


PIECES = (
    "a", "b c", " ", "\\", "'", '"', "\\ ", "\\n", "'x y'", '"x y"', '"\\""', '"\\a"', "''", '""', "$'\\t'", "$'\\x41'",
    "$'it\\'s'", "\\\n", "{a,b}", "{a,{b,c}}", "{1..3}", "{,x}", "{", "}", ",", "{}", "=", "-", "$", "é", "\t",
    "'a\nb'",
    '"a\nb"', '"$"', "a#b", "%s", "$v", '"$v"', "${v}", "${v:-z}", "${w:-z y}", "${v%y}", "${v#x}", "${v/x/Q}",
    "${v:1}",
    "'{a,b}'", '"{a,b}"', "\\{a,b}",
)  # fmt: skip
WORDS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@given(st.lists(WORDS, min_size=40, max_size=40))
@settings(max_examples=6, deadline=None, phases=[Phase.generate])
def test_words_are_read_as_bash_reads_them(lines: list[str]) -> None:
    """Many lines to one bash. What the parser does not understand it may refuse; what it reads, it reads alike."""
    compared: list[tuple[str, list[str]]] = []
    for line in lines:
        command = f"v='xy y'; printf '%s\\0' {line} /END"
        try:
            script, _ = parse(command)
        except NotUnderstood:
            continue
        scope = Scope()
        scope.assign("v", {"xy y"})
        if len(script) != 2 or not isinstance(script[1], Simple):
            # The pieces happened to end the line in its midst.
            continue
        try:
            ways = [expand(word, scope) for word in script[1].words[2:]]
        except NotUnderstood:
            continue
        if all(len(way) == 1 and not any("*" in field or HOLE in field for field in way[0]) for way in ways):
            compared.append((command, [field for way in ways for field in way[0]]))
    assert compared
    script_text = "\necho -n $'\\001'\n".join(f"eval {shlex.quote(command)}" for command, _ in compared)
    done = subprocess.run(
        ["bash", "-c", script_text], capture_output=True, timeout=60, env={"LC_ALL": "C.UTF-8", "HOME": "/nowhere"}
    )
    answers = done.stdout.decode().split("\x01")
    for (command, fields), answer in zip(compared, answers, strict=True):
        assert answer.split("\0")[:-1] == fields, command
