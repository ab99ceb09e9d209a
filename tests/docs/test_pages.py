"""The pages hold: what is marked as run is played and compared, links lead somewhere, no machine's paths are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assay.testing.server import serve_in_thread

from .stage import HOME, ROOT, Stage, agrees, play

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+) run\n(.*?)^```$", re.M | re.S)


def fences(language: str) -> list[object]:
    return [
        pytest.param(path, id=path.name)
        for path in PAGES
        if any(found[1] == language for found in FENCE.finditer(path.read_text("utf-8")))
    ]


def steps(block: str) -> list[tuple[str, str]]:
    """Command and output, again and again."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        line, _, shown = part.partition("\n")
        found.append((line, shown))
    return found


@pytest.mark.parametrize("path", fences("console"))
def test_consoles_show_what_happens(path: Path, tmp_path: Path) -> None:
    with serve_in_thread(play) as server:
        stage = Stage(tmp_path, server.url)
        for found in FENCE.finditer(path.read_text("utf-8")):
            if found[1] != "console":
                continue
            for line, shown in steps(found[2]):
                real = stage.run(line)
                assert agrees(shown, real), f"$ {line}\n{real}"


@pytest.mark.parametrize("path", fences("python"))
def test_python_runs(path: Path) -> None:
    for found in FENCE.finditer(path.read_text("utf-8")):
        if found[1] == "python":
            exec(compile(found[2], path.name, "exec"), {"__name__": "example"})


def test_an_example_that_no_longer_holds_is_noticed(tmp_path: Path) -> None:
    assert agrees("a 0.1 s\n…\nend\n", "a 12.9 s\nb\nc\nend\n")
    assert not agrees("passed in 1 s", "failed in 1 s")
    assert not agrees("one\n", "one\ntwo\n")
    assert steps("$ a\nb\n$ c\n") == [("a", "b\n"), ("c", "")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        if re.match(r"https?:|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        page = (path.parent / name).resolve() if name else path
        assert page.exists(), target
        if anchor:
            assert anchor in anchors(page.read_text("utf-8")), target


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading)).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PAGES, *sorted((ROOT / "examples").iterdir())], ids=lambda path: path.name)
def test_nothing_belongs_to_one_machine(path: Path) -> None:
    if path.is_file():
        text = path.read_text("utf-8").replace(HOME, "")
        assert re.findall(r"(?<![\w.~$}])/(?:home|root|Users|work|tmp|mnt|opt)/[\w.-]+", text) == []


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for target in ("demo", "test"):
        assert f"$ make {target}" in text
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.M)
