from __future__ import annotations

import asyncio
import base64
import json
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import InvalidArguments, WorkspaceError
from assay.core.messages import Image
from assay.tools.notebook import Notebook
from assay.tools.notebookedit import NotebookEditTool
from assay.tools.pdf import PAGES, page_range, pdf_text
from assay.tools.read import CHARACTERS, ReadTool

from .double import Bench, text_of

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def pdf(*pages: str) -> bytes:
    """A document with a line of text on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids: list[str] = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R "
            f"/Resources << /Font << /F1 {font} >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    out = b"%PDF-1.4\n"
    places: list[int] = []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    tail = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + head.encode() + tail.encode()


async def test_a_document_is_read_by_pages(bench: Bench) -> None:
    bench.put("a.pdf", pdf("first words", "", "third words"))
    outcome = await bench.call(ReadTool(), file_path="a.pdf")
    assert text_of(outcome) == (
        "== page 1\nfirst words\n== page 2\n(no text; it may be a scan)\n== page 3\nthird words"
    )
    assert outcome.display == "read a.pdf: pages 1-3 of 3"
    assert set(outcome.seen) == {"a.pdf"}
    part = await bench.call(ReadTool(), file_path="a.pdf", pages="2-2")
    assert text_of(part).startswith("== page 2\n(no text")
    assert "has 3 pages" in text_of(await bench.call(ReadTool(), file_path="a.pdf", pages="7"))


async def test_a_long_document_comes_in_parts(bench: Bench) -> None:
    bench.put("a.pdf", pdf(*(f"page {number}" for number in range(1, PAGES + 6))))
    text = text_of(await bench.call(ReadTool(), file_path="a.pdf"))
    assert text.endswith(f"[pages 1-{PAGES} of {PAGES + 5}; go on with pages={PAGES + 1}-]")
    text = text_of(await bench.call(ReadTool(), file_path="a.pdf", pages=f"{PAGES + 1}-"))
    assert text.endswith(f"page {PAGES + 5}")
    bench.put("b.pdf", pdf("x" * 40_000, "y" * 40_000))
    text = text_of(await bench.call(ReadTool(), file_path="b.pdf"))
    assert text.endswith("[pages 1-1 of 2; go on with pages=2-]")
    assert len(text) < CHARACTERS + 200


@pytest.mark.parametrize("data", [b"%PDF-1.4\n", b"%PDF" + bytes(500), pdf("x")[:300]])
async def test_a_broken_document_is_told(bench: Bench, data: bytes) -> None:
    bench.put("a.pdf", data)
    outcome = await bench.call(ReadTool(), file_path="a.pdf")
    assert outcome.is_error
    assert text_of(outcome).startswith("a.pdf: can't be read as PDF")


async def test_pdftotext_serves_where_the_library_is_missing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    bench.put("a.pdf", pdf("x"))
    missing = await bench.call(ReadTool(), file_path="a.pdf")
    assert missing.is_error
    assert "pip install 'assay[documents]', or install pdftotext" in text_of(missing)
    program = tmp_path / "pdftotext"
    program.write_text("#!/bin/sh\nprintf 'one\\ftwo\\f'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert text_of(await bench.call(ReadTool(), file_path="a.pdf", pages="4-5")) == "== page 4\none\n== page 5\ntwo"
    command = bench.workspace.commands[0]
    assert command.read_only
    assert command.argv[-7:] == ("-f", "4", "-l", "5", "--", "a.pdf", "-")
    program.write_text("#!/bin/sh\necho 'Syntax Error: bad'\nexit 1\n")
    assert "pdftotext: Syntax Error: bad" in text_of(await bench.call(ReadTool(), file_path="a.pdf"))


@pytest.mark.parametrize(("pages", "found"), [("", (1, 10**6)), ("3", (3, 3)), (" 2 - 5 ", (2, 5)), ("8-", (8, 10**6))])
def test_page_ranges(pages: str, found: tuple[int, int]) -> None:
    assert page_range(pages) == found


@pytest.mark.parametrize("pages", ["0", "5-2", "a", "1,2", "-3", "1-2-3"])
def test_page_ranges_that_make_no_sense(pages: str) -> None:
    with pytest.raises(InvalidArguments, match="pages"):
        ReadTool().effects({"file_path": "a.pdf", "pages": pages})


@given(st.binary(max_size=60), st.integers(0, 900), st.integers(0, 60))
def test_any_damage_to_a_document_is_survived(data: bytes, at: int, gone: int) -> None:
    whole = pdf("first words", "second")
    damaged = b"%PDF" + (whole[:at] + data + whole[at + gone :])[4:]
    try:
        pages = asyncio.run(pdf_text("a.pdf", damaged, (1, 2), 1_000, None))
    except WorkspaceError as error:
        assert "\n" not in str(error)
    else:
        assert len(pages.text) < 1_200


def book(*cells: dict[str, object], minor: int = 5, indent: int | None = 1) -> str:
    whole = {"cells": [*cells], "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": minor}
    return json.dumps(whole, indent=indent, ensure_ascii=False) + "\n"


def code(name: str, source: object, *outputs: dict[str, object]) -> dict[str, object]:
    return {
        "cell_type": "code", "execution_count": 7, "id": name, "metadata": {}, "outputs": [*outputs], "source": source,
    }  # fmt: skip


CELLS = (
    {"cell_type": "markdown", "id": "intro", "metadata": {}, "source": ["# Títle\n", "words"]},
    code(
        "calc",
        ["1 + 1\n", "plot()"],
        {"output_type": "stream", "name": "stdout", "text": ["\x1b[31mred\x1b[0m\n"]},
        {"output_type": "execute_result", "data": {"text/plain": "2"}},
        {"output_type": "display_data", "data": {"image/png": PNG, "text/plain": "<Figure>"}},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["line 1", "E: v"]},
    ),
)


async def test_a_notebook_is_read_by_cells(bench: Bench) -> None:
    bench.put("n.ipynb", book(*CELLS))
    outcome = await bench.call(ReadTool(), file_path="n.ipynb")
    assert text_of(outcome) == (
        "== intro (markdown)\n# Títle\nwords\n"
        "== calc (code)\n1 + 1\nplot()\n-- output\nred\n-- output\n2\n-- output: an image\n-- output\nline 1\nE: v"
    )
    assert [part for part in outcome.content if isinstance(part, Image)] == [Image("image/png", PNG)]
    assert outcome.display == "read n.ipynb: cells 1-2 of 2"
    part = await bench.call(ReadTool(), file_path="n.ipynb", limit=1)
    assert text_of(part).endswith("[cells 1-1 of 2; go on with offset=2]")
    assert text_of(await bench.call(ReadTool(), file_path="n.ipynb", offset=2)).startswith("== calc")
    bench.put("big.ipynb", book(*(code(f"c{n}", "x" * 30_000) for n in range(9))))
    assert len(text_of(await bench.call(ReadTool(), file_path="big.ipynb"))) < CHARACTERS
    bench.put("no.ipynb", "{}")
    assert text_of(await bench.call(ReadTool(), file_path="no.ipynb")) == "1\t{}"


async def _edit(bench: Bench, text: str, **arguments: object) -> str:
    place = bench.put("n.ipynb", text)
    await bench.call(ReadTool(), file_path="n.ipynb")
    outcome = await bench.call(NotebookEditTool(), notebook_path="n.ipynb", **arguments)
    assert not outcome.is_error, text_of(outcome)
    return place.read_text("utf-8")


@pytest.mark.parametrize("indent", [1, 4, None])
async def test_replacing_a_cell_touches_nothing_else(bench: Bench, indent: int | None) -> None:
    before = book(*CELLS, indent=indent)
    after = await _edit(bench, before, cell_id="calc", new_source="2 + 2\n'ü'")
    wanted = json.loads(before)
    wanted["cells"][1] |= {"source": ["2 + 2\n", "'ü'"], "outputs": [], "execution_count": None}
    assert after == json.dumps(wanted, indent=indent, ensure_ascii=False) + "\n"


async def test_inserting_and_deleting(bench: Bench) -> None:
    before = book(*CELLS)
    after = await _edit(bench, before, cell_id="intro", new_source="x = 1", cell_type="code", edit_mode="insert")
    cells = json.loads(after)["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "code"]
    assert cells[1]["source"] == ["x = 1"]
    assert len(cells[1]["id"]) == 8
    assert after == json.dumps(json.loads(after), indent=1, ensure_ascii=False) + "\n"
    assert await _edit(bench, after, cell_id=cells[1]["id"], new_source="", edit_mode="delete") == before
    first = await _edit(bench, before, new_source="# Top", cell_type="markdown", edit_mode="insert")
    assert json.loads(first)["cells"][0]["source"] == ["# Top"]
    assert await _edit(bench, first, cell_id="cell-0", new_source="", edit_mode="delete") == before
    empty = await _edit(bench, book(CELLS[0]), cell_id="intro", new_source="", edit_mode="delete")
    assert json.loads(empty)["cells"] == []
    again = await _edit(bench, empty, new_source="y", cell_type="code", edit_mode="insert")
    assert json.loads(again)["cells"][0]["source"] == ["y"]


async def test_a_cell_may_change_its_kind(bench: Bench) -> None:
    after = json.loads(await _edit(bench, book(*CELLS), cell_id="calc", new_source="words", cell_type="markdown"))
    assert after["cells"][1] == {"cell_type": "markdown", "id": "calc", "metadata": {}, "source": ["words"]}


async def test_old_notebooks_count_their_cells(bench: Bench) -> None:
    plain = {"cell_type": "code", "metadata": {}, "source": "a", "outputs": [], "execution_count": None}
    after = await _edit(bench, book(plain, minor=4), cell_id="cell-0", new_source="b")
    assert json.loads(after)["cells"][0]["source"] == "b", "one text stays one"
    after = await _edit(
        bench, book(plain, minor=4), cell_id="cell-0", new_source="b", cell_type="code", edit_mode="insert"
    )
    assert "id" not in json.loads(after)["cells"][1]


async def test_notebook_edits_that_are_refused(bench: Bench) -> None:
    place = bench.put("n.ipynb", book(*CELLS))
    edit = {"notebook_path": "n.ipynb", "cell_id": "calc", "new_source": "x"}
    assert "Read it first" in text_of(await bench.call(NotebookEditTool(), **edit))
    await bench.call(ReadTool(), file_path="n.ipynb")
    assert "no cell 'gone'; cells: intro, calc" in text_of(
        await bench.call(NotebookEditTool(), **(edit | {"cell_id": "gone"}))
    )
    place.write_text(book(CELLS[0]))
    assert "changed since" in text_of(await bench.call(NotebookEditTool(), **edit))
    assert place.read_text() == book(CELLS[0])
    bench.put("a.ipynb", "[1]")
    await bench.call(ReadTool(), file_path="a.ipynb")
    assert "not a notebook" in text_of(await bench.call(NotebookEditTool(), **(edit | {"notebook_path": "a.ipynb"})))
    with pytest.raises(InvalidArguments, match="cell_id"):
        NotebookEditTool().effects({"notebook_path": "n.ipynb", "new_source": "x"})
    with pytest.raises(InvalidArguments, match="cell_type"):
        NotebookEditTool().effects({"notebook_path": "n.ipynb", "new_source": "x", "edit_mode": "insert"})


_SOURCES = st.text(max_size=30) | st.lists(st.text(max_size=10), max_size=3)
_BOOKS = st.lists(
    st.builds(lambda kind, source: {"cell_type": kind, "source": source}, st.sampled_from(["code", "raw"]), _SOURCES),
    max_size=4,
)


@given(_BOOKS, st.sampled_from([None, 1, 2]), st.booleans(), st.text(max_size=30), st.data())
def test_any_notebook_keeps_its_other_cells(
    cells: list[dict[str, object]], indent: int | None, ascii_only: bool, source: str, data: st.DataObject
) -> None:
    text = json.dumps({"a": [{"cells": 1}], "cells": cells, "nbformat": 4}, indent=indent, ensure_ascii=ascii_only)
    notebook = Notebook(text)
    index = data.draw(st.integers(0, len(cells)))
    grown = json.loads(notebook.inserted(index, source, "code"))["cells"]
    assert grown[:index] + grown[index + 1 :] == cells
    assert "".join(grown[index]["source"]) == source
    if index < len(cells):
        assert json.loads(notebook.deleted(index))["cells"] == cells[:index] + cells[index + 1 :]
        changed = json.loads(notebook.replaced(index, source, None))
        assert changed["a"] == [{"cells": 1}]
        assert "".join(changed["cells"][index]["source"]) == source
        assert changed["cells"][:index] + changed["cells"][index + 1 :] == cells[:index] + cells[index + 1 :]
    notebook.shown(1, 9, 1_000)


@given(st.text(alphabet='{}[]:,"cels 1\n\\', max_size=60))
def test_no_text_breaks_the_reader_of_notebooks(text: str) -> None:
    try:
        Notebook(text).shown(1, 5, 100)
    except WorkspaceError as error:
        assert "notebook" in str(error)
