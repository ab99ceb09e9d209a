"""Rules that prove themselves, errors that name file and line, and the stricter reading meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.app.config import load_settings
from assay.app.explain import explain_imagined, is_imagined
from assay.app.kept import Kept, hidden_paths
from assay.app.lines import line_of
from assay.app.rulefile import rules_of
from assay.app.task import Wish
from assay.core.errors import UsageError
from assay.testing import MemoryWorkspace

ALL = frozenset({"user", "project", "local"})


def load(folder: Path, text: str, problems: list[str] | None = None):
    (folder / "s.json").write_text(text)
    return load_settings(folder / "s.json", folder, ALL, None, problems)


def test_a_rule_with_its_reason_and_examples(tmp_path: Path) -> None:
    rule = {"deny": "Bash(git push:*)", "because": "CI does", "matches": ["a; git push x"], "not": ["git status"]}
    file = {"deny": "Read(secret/**)", "matches": ["secret/a/b"], "not": ["src/secret.py"]}
    host = {"allow": "WebFetch(domain:*.example.org)", "matches": ["a.example.org"], "not": ["example.org"]}
    settings, notices = load(tmp_path, json.dumps({"permissions": {"rules": [rule, file, host], "deny": ["Edit(x)"]}}))
    assert notices == []
    rules = rules_of(settings.permissions, ("Bash(ls)",), ("Bash(rm:*)",))
    assert [each.told for each in rules.deny] == [
        "Edit(x)", "Bash(rm:*)", "Bash(git push:*) (CI does)", "Read(secret/**)",
    ]  # fmt: skip
    assert [each.text for each in rules.allow] == ["Bash(ls)", "WebFetch(domain:*.example.org)"]


BAD = [
    ('{"deny": "Bash(git push:*)",\n"matches": ["git pull"]}', 4, "does not match its example 'git pull'"),
    ('{"deny": "Bash(git push:*)",\n"not": ["x && git push"]}', 4, "says? it should not|which its examples"),
    ('{"allow": "Bash(git *)",\n"not": ["git push"]}', 4, "which its examples"),
    ('{"deny": "Bash(", "because": "x"}', 4, "expected Tool or Tool"),
    ('{"allow": "mcp__*"}', 4, "not allow"),
    ('{"because": "x"}', 4, "one of allow, ask and deny; this has none"),
    ('{"ask": "Bash", "deny": "Bash"}', 4, "this has ask and deny"),
    ('{"deny": "Bash",\n"reason": "x"}', 5, "unknown field `reason`"),
    ('{"deny": "Bash", "matches": "x"}', 4, "Expected `array`, got `str`"),
    ('{"deny": "Grep", "matches": ["x"]}', 4, "examples go with"),
]


@pytest.mark.parametrize(("rule", "line", "said"), BAD)
def test_what_is_wrong_is_told_with_file_and_line_and_read_strictly(
    tmp_path: Path, rule: str, line: int, said: str
) -> None:
    text = '{"permissions": {\n"allow": ["Bash"], "deny": ["Edit(a)"],\n"rules": [\n' + rule + "\n]}}"
    with pytest.raises(UsageError, match=said) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 's.json'}:{line}: ")
    problems: list[str] = []
    settings, _ = load(tmp_path, text, problems)
    assert problems == [str(caught.value)]
    assert settings.permissions.allow == ()
    assert "Edit(a)" in settings.permissions.deny


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{\n"permision": {}}', 2, "did you mean 'permissions'"),
        ('{"permissions": {\n"denied": []}}', 2, "unknown field `denied`"),
        ('{"permissions": {"deny": ["A", \n7]}}', 2, "Expected `str`, got `int`"),
        ('{"permissions":\n{,}}', 2, "malformed"),
        ('{"permissions": {"allow": ["Edit(x)",\n"Bash("]}}', 2, "expected Tool"),
        ('{"permissions": {"allow": ["Read",\n"Edit(x)"], "deny": ["Edit(x)"]}}', 2, "can't apply"),
    ],
)
def test_slips_in_the_policy_are_errors(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        load(tmp_path, text)
    assert f"s.json:{line}: " in str(caught.value)


def test_a_projects_rules_may_deny_and_not_allow(tmp_path: Path) -> None:
    (tmp_path / ".assay").mkdir()
    rules = [{"allow": "Edit(.github/**)"}, {"deny": "Bash(rm:*)"}]
    (tmp_path / ".assay/settings.json").write_text(json.dumps({"permissions": {"rules": rules}}))
    settings, notices = load_settings(tmp_path / "none", tmp_path, ALL)
    assert [rule.deny for rule in settings.permissions.rules] == ["Bash(rm:*)"]
    assert "permissions.rules" in notices[0]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\:,{', max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.text("$.[]0ab", max_size=12))
def test_lines_are_found_in_any_json(value: object, path: str) -> None:
    text = json.dumps(value, indent=1)
    assert 1 <= line_of(text, f"${path}") <= text.count("\n") + 1


def test_lines_of_nested_values() -> None:
    text = '{\n"a": [\n1,\n{"b": "x:{",\n"c": []}],\n"d": 2}'
    found = {path: line_of(text, path) for path in ("$.a", "$.a[0]", "$.a[1].b", "$.a[1].c", "$.d", "$.a[1].zz")}
    assert found == {"$.a": 2, "$.a[0]": 3, "$.a[1].b": 4, "$.a[1].c": 5, "$.d": 6, "$.a[1].zz": 4}


async def test_what_a_checkpoint_holds(tmp_path: Path) -> None:
    for name in ("src/a.py", "src/__pycache__/a.pyc", "data/local.db", "data/b.txt", "build/x/y", ".hidden/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to("/etc")
    kept = Kept()
    assert not await kept("src"), "nothing is known yet"
    kept.workspace = MemoryWorkspace({"src/a.py": b"x", "data/b.txt": b"x", "link": b""}, root=str(tmp_path))
    expected = {
        "src": True, "src/*": True, "build": True, "link": True, "nothing": True, "*.none": True, "data/b.txt": True,
        "data": False, "data/*.db": False, ".": False, ".hidden": False, str(tmp_path / "src"): True,
    }  # fmt: skip
    assert {path: await kept(path) for path in expected} == expected


def test_paths_that_rules_hide(tmp_path: Path) -> None:
    for name in ("secret/a/b", "src/key.pem", "src/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    hides = {"secret", "secret/a", "src/key.pem"}.__contains__
    assert hidden_paths(str(tmp_path), hides) == ("secret", "src/key.pem")


async def test_what_would_be_decided(tmp_path: Path) -> None:
    settings = '{"permissions": {"deny": ["Read(secret/**)"], "ask": ["Bash(git push:*)"]}}'
    wish = Wish(tmp_path, {"ASSAY_HOME": str(tmp_path)}, settings=settings)

    async def verdicts(text: str) -> list[str]:
        found, problems = await explain_imagined(text, wish)
        assert problems == []
        return [each.decision.verdict for each in found]

    assert await verdicts("Bash(git push)") == ["ask", "ask"]
    assert await verdicts("git commit -m x") == ["allow", "allow"]
    assert await verdicts("Read(secret/a)") == ["deny", "deny"]
    assert await verdicts("cat secret/a") == ["deny", "deny"]
    assert await verdicts("WebFetch(domain:h.example)") == ["ask", "ask"]
    assert await verdicts("Edit(.github/x)") == ["ask", "ask"]
    with pytest.raises(UsageError, match="got 'Fly'"):
        await verdicts("Fly(x)")
    broken = Wish(tmp_path, {"ASSAY_HOME": str(tmp_path)}, settings='{"permissions": {"deny": ["Bash(ls)", "Bash("]}}')
    found, problems = await explain_imagined("Bash(ls)", broken)
    assert found[0].decision.verdict == "deny"
    assert len(problems) == 1


def test_ids_and_what_ifs_are_told_apart() -> None:
    assert not is_imagined("toolu_01")
    assert is_imagined("Bash(ls)")
    assert is_imagined("git push")
