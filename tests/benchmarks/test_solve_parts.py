"""Tasks, grades and agents of the solving rig: a wrong one would make its tables worthless."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from bench.solve import exercism, faults, fixes, humaneval, inject, library, mbpp, quixbugs
from bench.solve.__main__ import main
from bench.solve.clone import Clone, code_lines, open_clone
from bench.solve.controls import fenced, told
from bench.solve.grade import environment_of, grade, outcomes
from bench.solve.peers import HARNESSES, Given, harness
from bench.solve.sets import Places, in_turn, load, sample
from bench.solve.task import CHECK, CONFTEST, Task, collect, git, lay_out, split
from hypothesis import given
from hypothesis import strategies as st

PYTHON = environment_of(None)
TEST = "from solution import add\n\n\ndef test_add():\n    assert add(2, 2) == 4\n"
HIDDEN = TEST + "\n\ndef test_more():\n    assert add(2, 3) == 5\n"
WRONG, RIGHT = "def add(a, b):\n    return a * b\n", "def add(a, b):\n    return a + b\n"


def small(**changes: object) -> Task:
    task = Task(
        id="set/add",
        set="set",
        prompt="`add` is wrong; fix it.",
        files={"solution.py": WRONG, "test_solution.py": TEST, "conftest.py": CONFTEST},
        check=CHECK,
        hidden={"test_solution.py": HIDDEN},
        grade=f"{CHECK} test_solution.py",
        subject=("solution.py",),
    )
    return msgspec.structs.replace(task, **changes)


def diff_of(tmp_path: Path, **files: str) -> str:
    root = tmp_path / "work"
    base = lay_out(small(), root)
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    return collect(root, base)


def make_clone(root: Path, files: dict[str, str]) -> Clone:
    lay_out(small(files=files), root)
    return Clone(root)


# --- tasks and grading ------------------------------------------------------------------------------------------------


def test_a_task_is_one_commit_without_remote_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = lay_out(small(), tmp_path / "a"), lay_out(small(), tmp_path / "b")
    assert first == second
    assert git(tmp_path / "a", "rev-list", "--count", "--all").strip() == "1"
    assert git(tmp_path / "a", "remote") == ""
    assert "test_more" not in "".join(path.read_text() for path in (tmp_path / "a").glob("*.py"))


def test_what_an_agent_committed_is_collected_too(tmp_path: Path) -> None:
    base = lay_out(small(), tmp_path)
    (tmp_path / "solution.py").write_text(RIGHT)
    git(tmp_path, "commit", "-qam", "mine")
    (tmp_path / "new.txt").write_text("é\n")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"\0")
    diff = collect(tmp_path, base)
    assert "+    return a + b" in diff
    assert "new.txt" in diff
    assert "pycache" not in diff


def test_a_good_diff_is_solved_and_none_is_not(tmp_path: Path) -> None:
    assert grade(small(), diff_of(tmp_path, solution__py=RIGHT), PYTHON).solved
    nothing = grade(small(), "", PYTHON)
    assert (nothing.solved, nothing.applied) == (False, True)


def test_hidden_tests_see_what_the_given_ones_do_not(tmp_path: Path) -> None:
    fits = "def add(a, b):\n    return 4\n"
    verdict = grade(small(), diff_of(tmp_path, solution__py=fits), PYTHON)
    assert (verdict.solved, verdict.failed) == (False, 1)


@pytest.mark.parametrize(
    "files",
    [
        {"test_solution__py": "def test_add():\n    pass\n"},
        {"conftest__py": "def pytest_collection_modifyitems(items):\n    items.clear()\n"},
        {"pytest__ini": "[pytest]\naddopts = --co\n"},
        {"__pytest__ini": "[pytest]\naddopts = --co\n"},
        {"solution__py": "import os\nos._exit(0)\n"},
        {"solution__py": "raise SystemExit(0)\n"},
    ],
)
def test_tampering_solves_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    assert not grade(small(), diff_of(tmp_path, **files), PYTHON).solved


def test_what_tests_import_from_beside_them_is_set_back(tmp_path: Path) -> None:
    test = "from tests.wanted import SUM\nfrom solution import add\n\n\ndef test_add():\n    assert add(2, 3) == SUM\n"
    files = {"solution.py": WRONG, "tests/test_solution.py": test, "tests/wanted.py": "SUM = 5\n"}
    task = small(files=files, hidden={"tests/test_solution.py": test}, grade=f"{CHECK} tests/test_solution.py")
    base = lay_out(task, tmp_path)
    (tmp_path / "tests/wanted.py").write_text("SUM = 6\n")
    assert not grade(task, collect(tmp_path, base), PYTHON).solved


@pytest.mark.parametrize("gone", ["tests", "tests/test_solution.py"])
def test_a_link_in_the_place_of_tests_leads_nowhere(tmp_path: Path, gone: str) -> None:
    files = {"solution.py": WRONG, "tests/test_solution.py": TEST}
    task = small(files=files, hidden={"tests/test_solution.py": HIDDEN}, grade=f"{CHECK} tests/test_solution.py")
    root, outside = tmp_path / "work", tmp_path / "outside"
    outside.mkdir()
    base = lay_out(task, root)
    (root / "tests/test_solution.py").unlink()
    if gone == "tests":
        (root / "tests").rmdir()
    (root / gone).symlink_to(outside)
    verdict = grade(task, collect(root, base), PYTHON)
    assert (verdict.solved, verdict.applied, verdict.failed) == (False, True, 1)
    assert not list(outside.iterdir())


def test_a_diff_of_another_tree_does_not_apply() -> None:
    verdict = grade(small(), "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n", PYTHON)
    assert (verdict.solved, verdict.applied) == (False, False)


def test_a_program_that_runs_for_ever_fails_its_test(tmp_path: Path) -> None:
    loop = "def add(a, b):\n    while True:\n        pass\n"
    quick = small(files={**small().files, "conftest.py": CONFTEST.replace("VIRTUAL, 3", "VIRTUAL, 0.1")})
    verdict = grade(quick, diff_of(tmp_path, solution__py=loop), PYTHON)
    assert (verdict.solved, verdict.failed) == (False, 1)


def test_outcomes_are_told_by_test() -> None:
    task = small(files={**small().files, "test_solution.py": HIDDEN})
    assert outcomes(task, CHECK, "", PYTHON) == {"test_solution::test_add": True, "test_solution::test_more": False}
    assert outcomes(small(files={"test_x.py": "import nothing_of_this_name\n"}), CHECK, "", PYTHON) is None


@given(st.text(min_size=1))
def test_all_variants_of_a_task_are_on_one_side(name: str) -> None:
    assert small(id=f"a-tests/{name}").split == small(id=f"b-docs/{name}").split == split(name)


@given(st.integers(0, 30), st.integers(0, 5), st.randoms())
def test_a_sample_depends_on_nothing_but_its_seed(size: int, seed: int, chance: object) -> None:
    tasks = [small(id=f"s/{number}") for number in range(20)]
    shuffled = [*tasks]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # random.Random
    drawn = sample(tasks, size, seed)
    assert drawn == sample(shuffled, size, seed)
    assert len(drawn) == min(size, 20)


def test_sets_are_run_in_turn() -> None:
    tasks = [small(id=f"{name}/{number}", set=name) for name in "ab" for number in range(3)]
    assert [task.id for task in in_turn(tasks)] == ["a/0", "b/0", "a/1", "b/1", "a/2", "b/2"]


# --- sets from tiny clones --------------------------------------------------------------------------------------------


def test_a_function_with_a_bug_becomes_a_task(tmp_path: Path) -> None:
    row = {
        "task_id": "Python/7",
        "entry_point": "add",
        "prompt": 'def add(a, b):\n    """Add.\n    >>> add(1, 1)\n    2\n    """\n',
        "canonical_solution": "    return a + b\n",
        "buggy_solution": "    return a - b\n",
        "bug_type": "operator misuse",
        "test": "def check(add):\n    assert True, 'x'\n    assert add(1, 1) == 2\n    assert add(2, 1) == 3\n",
        "example_test": " def check(add):\n    assert add(1, 1) == 2\ncheck(add)\n",
    }
    odd = {
        **row,
        "task_id": "Python/8",
        "example_test": "",
        "test": "def check(f):\n    x = f(1, 2)\n    assert x == 3\ncheck(add)\n",
    }
    clone = make_clone(tmp_path, {humaneval.DATA: "\n".join(map(json.dumps, (row, odd)))})
    first, second = humaneval.tasks(clone, "tests")
    assert first.kind == "operator misuse"
    assert "return a - b" in first.files["solution.py"]
    assert first.hidden["test_solution.py"].count("def test_") == 2
    assert "check(add)" in second.hidden["test_solution.py"]
    (shown,) = humaneval.tasks(clone, "docs")
    assert shown.files["test_solution.py"].count("def test_") == 1
    assert shown.hidden == first.hidden
    for task in (first, second):
        assert grade(msgspec.structs.replace(task, files={**task.files, **task.reference}), "", PYTHON).solved


def test_an_algorithm_with_its_cases_becomes_a_task(tmp_path: Path) -> None:
    test = (
        "import pytest\nfrom load_testdata import load_json_testcases\n\nif pytest.use_correct:\n"
        "    from correct_python_programs.gcd import gcd\nelse:\n    from python_programs.gcd import gcd\n\n"
        "testdata = load_json_testcases(gcd.__name__)\n\n\n"
        '@pytest.mark.parametrize("input_data,expected", testdata)\ndef test_gcd(input_data, expected):\n'
        "    assert gcd(*input_data) == expected\n"
    )
    right = "def gcd(a, b):\n    return a if b == 0 else gcd(b, a % b)\n"
    files = {
        "python_programs/gcd.py": right.replace("(b, a % b)", "(a, b)") + '\n"""\n>>> gcd(35, 21)\n7\n"""\n',
        "correct_python_programs/gcd.py": right,
        "python_testcases/test_gcd.py": test,
        "python_testcases/node.py": "class Node: pass\n",
        "json_testcases/gcd.json": "[[17, 0], 17]\n[[13, 13], 13]\n",
    }
    clone = make_clone(tmp_path, files)
    (task,) = quixbugs.tasks(clone)
    assert "use_correct" not in task.hidden["test_gcd.py"]
    assert not grade(task, "", PYTHON).solved
    assert grade(msgspec.structs.replace(task, files={**task.files, **task.reference}), "", PYTHON).solved
    (shown,) = quixbugs.tasks(clone, "docs")
    assert "assert gcd(35, 21) == 7" in shown.files["test_gcd.py"]


def test_an_exercise_shows_a_third_of_its_tests(tmp_path: Path) -> None:
    tests = "import unittest\nfrom two import f\n\n\nclass T(unittest.TestCase):\n" + "".join(
        f"    def test_{n}(self):\n        self.assertEqual(f({n}), {2 * n})\n\n" for n in range(1, 7)
    )
    base = "exercises/practice/two"
    named = {"solution": ["two.py"], "test": ["two_test.py"], "example": [".meta/example.py"]}
    files = {
        f"{base}/.meta/config.json": json.dumps({"files": named}),
        f"{base}/.meta/example.py": "def f(n):\n    return 2 * n\n",
        f"{base}/.docs/instructions.md": "# Instructions\n\nDouble it.\n",
        f"{base}/two.py": "def f(n):\n    pass\n",
        f"{base}/two_test.py": tests,
    }
    clone = make_clone(tmp_path, files)
    (task,) = exercism.tasks(clone, "third")
    assert task.files["two_test.py"].count("def test_") == 2
    assert task.hidden["two_test.py"].count("def test_") == 6
    assert "Double it." in task.files["README.md"]
    assert ".meta/example.py" not in task.files
    assert grade(msgspec.structs.replace(task, files={**task.files, **task.reference}), "", PYTHON).solved


def test_a_sentence_and_assertions_become_a_stub(tmp_path: Path) -> None:
    row = {"task_id": 5, "text": "Write a function to double.", "code": "def twice(n):\r\n  return n * 2",
           "test_list": ["assert set(twice(1)) == 2", "assert twice(2) == 4"], "test_setup_code": "",
           "challenge_test_list": ["assert twice(9) == 18"]}  # fmt: skip
    row["test_list"][0] = "assert abs(twice(1)) == 2"
    (task,) = mbpp.tasks(make_clone(tmp_path, {mbpp.DATA: json.dumps(row)}), "one")
    assert task.files["solution.py"].startswith("def twice(n):")
    assert task.files["test_solution.py"].count("assert") == 1
    assert task.hidden["test_solution.py"].count("assert") == 3
    assert grade(msgspec.structs.replace(task, files={**task.files, **task.reference}), "", PYTHON).solved


CODE = '''\
def clean(items, limit):
    """Text."""
    if not items:
        return []
    found = list(items)
    kept = []
    for item in found:
        if item > limit:
            kept.append(item)
        elif item == 0:
            kept.append(1)
        else:
            kept.append(item + 1)
    try:
        first = kept[0]
    except IndexError:
        first = max(limit, 2, key=abs)
    if first > 3:
        order = "up"
    else:
        order = "down"
    total = first or 7
    for item in kept:
        total += item
        limit -= 1
    return pair(total, order, limit)
'''


def test_every_rule_puts_its_fault_in_and_leaves_python() -> None:
    found = list(faults.faults(CODE))
    assert {one.kind for one in found} == {*faults.RULES}
    for one in found:
        ast.parse(one.text)
        assert one.text != CODE
        assert one.symbol == "clean"
    lost = next(one for one in found if one.kind == "lost guard")
    assert lost.text == CODE.replace("    if not items:\n        return []\n", "")
    lines = CODE.splitlines()
    swapped = next(one for one in found if one.kind == "swapped branches" and "order" in lines[one.line])
    assert swapped.text.index('"down"') < swapped.text.index('"up"')


LIB = library.Library("me/lib", "lib")
LIB_FILES = {
    "lib/__init__.py": "",
    "lib/calc.py": "def low(items, least):\n    if not items:\n        return least\n    return min(items[0], least)\n",
    "tests/test_calc.py": "from lib.calc import low\n\n\nclass TestLow:\n"
    "    def test_empty(self):\n        assert low([], 3) == 3\n\n"
    "    def test_none(self):\n        assert low((), 4) == 4\n\n"
    "    def test_one(self):\n        assert low([1], 3) == 1\n",
    "docs/x.md": "how it was fixed",
}


def test_an_injected_fault_hides_half_of_the_tests_that_see_it(tmp_path: Path) -> None:
    clone = make_clone(tmp_path, LIB_FILES)
    made = list(inject.make(clone, LIB, 1, PYTHON))
    assert len(made) == 1
    assert {*made[0].failed} <= {f"tests.test_calc.TestLow::{name}" for name in ("test_empty", "test_none", "test_one")}
    lost = next(one for one in faults.faults(LIB_FILES["lib/calc.py"]) if one.kind == "lost guard")
    failed = ("tests.test_calc.TestLow::test_empty", "tests.test_calc.TestLow::test_none")
    head = clone.git("rev-parse", "HEAD").strip()
    one = inject.Injection(
        "lib", head, "lib/calc.py", lost.kind, "low", 2, lost.text, ("tests/test_calc.py",), failed, failed[1:]
    )
    task = inject.task_of(clone, LIB, one)
    assert "docs/x.md" not in task.files
    assert "test_none" not in task.files["tests/test_calc.py"]
    assert "test_none" in task.hidden["tests/test_calc.py"]
    assert library.failing(task, task.check, PYTHON) == {failed[0]}
    assert grade(msgspec.structs.replace(task, files={**task.files, **task.reference}), "", PYTHON).solved


def test_a_fix_is_set_back_and_told_in_its_own_words(tmp_path: Path) -> None:
    broken = LIB_FILES["lib/calc.py"].replace("    if not items:\n        return least\n", "")
    first = (
        LIB_FILES["tests/test_calc.py"].partition("    def test_empty")[0]
        + "    def test_one(self):\n        assert low([1], 3) == 1\n"
    )
    clone = make_clone(tmp_path, {**LIB_FILES, "lib/calc.py": broken, "tests/test_calc.py": first})
    for path in ("lib/calc.py", "tests/test_calc.py"):
        (tmp_path / path).write_text(LIB_FILES[path])
    git(tmp_path, "commit", "-qam", "Fix low of nothing (#12)\n\nCo-authored-by: A <a@b>")
    (fix,) = fixes.make(clone, LIB, 3, PYTHON)
    assert (fix.code, len(fix.failed)) == (("lib/calc.py",), 2)
    told_, shown = (fixes.task_of(clone, LIB, fix, mode) for mode in ("told", "shown"))
    assert "Fix low of nothing\n" in told_.prompt
    assert "authored" not in told_.prompt
    assert told_.files["tests/test_calc.py"] == first
    assert shown.files["tests/test_calc.py"] == LIB_FILES["tests/test_calc.py"]
    assert not grade(told_, "", PYTHON).solved
    assert grade(msgspec.structs.replace(shown, files={**shown.files, **shown.reference}), "", PYTHON).solved


def test_clones_are_found_where_the_user_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clone(tmp_path / "mine" / "me+lib", LIB_FILES)
    assert open_clone("me/lib", [tmp_path / "mine"], tmp_path / "cache").read("lib/__init__.py") == ""
    monkeypatch.setenv("BENCH_GIT", str(tmp_path / "nowhere"))
    with pytest.raises(OSError, match="can't be cloned"):
        open_clone("you/other", [tmp_path / "mine"], tmp_path / "cache")
    with pytest.raises(KeyError):
        load("no such set", Places([], tmp_path))


def test_an_unknown_set_is_a_clear_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["sets", "--set", "nothing", "--cache", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: no set nothing; there are ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--key-env", "NO_SUCH_KEY"], "error: --key-env NO_SUCH_KEY: no such variable is set"),
        (["--folder", "{}/runs"], "error: agents don't see "),
    ],
)
def test_a_run_that_could_not_be_right_is_not_begun(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], said: str
) -> None:
    make_clone(tmp_path / "clones" / "OckBench", {mbpp.DATA: ""})
    given_ = ["--from", str(tmp_path / "clones"), "--cache", str(tmp_path / "cache"), "--set", "mbpp-tests"]
    given_ += ["--server", "http://127.0.0.1:9", "--harness", "single", "--out", str(tmp_path / "r.jsonl")]
    assert main(["run", *given_, *(word.format(tmp_path) for word in words)]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_lines_are_those_of_the_parser() -> None:
    assert code_lines("a\x0cb\r\nc\u2028\nd") == ["a\x0cb\r\n", "c\u2028\n", "d"]
    source = "x = '\x0c'\n\n\nclass T:\n    def test_a(self): pass\n    def test_b(self): pass\n"
    assert exercism.first_third(source) == source.replace("    def test_b(self): pass\n", "")


# --- agents -----------------------------------------------------------------------------------------------------------


def test_every_agent_is_told_the_prompt_and_the_proxy(tmp_path: Path) -> None:
    for one in HARNESSES:
        home = tmp_path / one.name
        command, environment = one.command("/bin/x", Given("http://host:1", "tiny", small(), home))
        written = "".join(path.read_text() for path in home.rglob("*.json"))
        assert small().prompt in command, one.name
        assert "http://host:1" in " ".join([*command, *environment.values(), written]), one.name
        assert "tiny" in " ".join([*command, *environment.values(), written]), one.name


def test_ours_gets_the_facts_of_the_local_model(tmp_path: Path) -> None:
    harness("assay").command("assay", Given("http://host:1", "qwen2.5-coder-1.5b", small(), tmp_path))
    written = json.loads((tmp_path / ".config" / "assay" / "settings.json").read_text())["providers"]["rig"]
    assert written["models"]["qwen2.5-coder-1.5b"]["strategy"] == "slots"
    assert written["baseUrl"] == "http://host:1/v1"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("text\n```\nx = 1\n```\n```python\ny\n```", "x = 1\n"),
        ("```py\nx = 1\n", "x = 1\n"),
        ("no code", None),
    ],
)
def test_the_first_block_is_taken(reply: str, code: str | None) -> None:
    assert fenced(reply, "python|py") == code


def test_a_command_is_told_with_both_ends() -> None:
    assert told("echo hi; exit 3") == "exit code 3\nhi\n"
    assert "[...]" in told("seq 100000")
    assert told("sleep 9", 0.2) == "stopped after 0 s"


def test_controls_name_the_server_that_is_not_there(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bench.solve.controls", "bash", "--url", "http://127.0.0.1:9", "--model", "m", "hi"]
    root = Path(__file__).parents[2]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the model did not answer")
