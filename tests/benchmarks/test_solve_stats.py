"""Statistics and tables of the solving rig: what they say is what was recorded."""

from pathlib import Path

import pytest
from bench.solve import stats, tables
from bench.solve.run import Record, append, stored
from hypothesis import given
from hypothesis import strategies as st

# --- statistics, by hand ----------------------------------------------------------------------------------------------


def test_mcnemar_is_the_binomial_of_the_discordant() -> None:
    pairs = [(True, False)] * 5 + [(False, True)] + [(True, True)] * 9
    assert stats.mcnemar(pairs) == pytest.approx(2 * (1 + 6) / 64)
    assert stats.mcnemar([(True, True)]) == 1.0


def test_wilcoxon_is_exact_for_few_and_near_for_many() -> None:
    assert stats.wilcoxon([1, 2, 3, 4, 5]) == pytest.approx(2 / 32)
    assert stats.wilcoxon([0, 0]) == 1.0
    assert stats.wilcoxon([1, -1]) == 1.0
    assert stats.wilcoxon([float(n) for n in range(1, 14)]) == pytest.approx(2 / 2**13, abs=2e-3)


def test_holm_steps_down_and_never_back() -> None:
    assert stats.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_wilson_is_the_interval_of_the_book() -> None:
    assert stats.wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert stats.wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)
    assert stats.wilson(0, 0) == (0.0, 1.0)
    assert stats.wilson(290, 300)[0] > stats.wilson(29, 30)[0]


def test_bootstrap_draws_whole_tasks() -> None:
    same = {"a": [1.0, 1.0], "b": [1.0]}
    assert stats.bootstrap(same, stats.mean, 50) == (1.0, 1.0)
    two = {"a": [0.0, 0.0], "b": [1.0, 1.0]}
    assert stats.bootstrap(two, stats.mean, 400) == (0.0, 1.0)


def test_budgets_and_the_area_under_them() -> None:
    points = [(1_000.0, True), (128_000.0, True), (500.0, False)]
    assert stats.at_budget(points, 2_000) == pytest.approx(1 / 3)
    assert stats.at_budget(points, 128_000) == pytest.approx(2 / 3)
    assert stats.area([(1_000.0, True)]) == pytest.approx(1.0)
    assert stats.area([(128_000.0, True)]) == pytest.approx(0.0)


@given(st.lists(st.tuples(st.floats(1, 1e6), st.booleans()), max_size=30))
def test_the_area_is_a_share(points: list[tuple[float, bool]]) -> None:
    assert 0 <= stats.area(points) <= 1


# --- records and tables -----------------------------------------------------------------------------------------------


def record(name: str, task: str, solved: bool, tokens: int, outcome: str = "") -> Record:
    return Record(name, "1", "m", f"s/{task}", "s", "held", "", 1, solved, outcome=outcome, prompt=tokens, calls=1)


def test_tables_count_what_the_records_say(tmp_path: Path) -> None:
    rows = [
        record("assay", "a", True, 100, "verified"),
        record("assay", "b", False, 300, "verified"),
        record("assay", "c", False, 0, "failed"),
        record("other", "a", False, 9_000),
        record("other", "b", True, 1_000),
    ]
    for row in rows:
        append(tmp_path / "r.jsonl", row)
    (tmp_path / "r.calls").write_text("{}")
    found = list(stored(tmp_path))
    assert found == rows
    text = tables.report(found)
    assert "| assay | 3 | 1 (33%) |" in text
    assert "| other | 2 | 1 (50%) | 0% to 100% | 10,000 |" in text
    assert "| other | 1 : 1 of 2 | 1.00 | 0.04 | 1.000 |" in text
    assert "| assay | all | 3 | 2 | 1 (50.0%) | 9.5% to 90.5% | 1 | 0 |" in text
    assert tables.report([]) == "No records."


def test_what_a_table_leaves_out_is_said() -> None:
    rows = [record("assay", "a", True, 100, "verified"), record("assay", "b", False, 9), record("single", "a", True, 9)]
    rows[1].uncounted = 2
    text = tables.report(rows)
    assert "Left out: 1 that ended without a word" in text
    assert "nobody could count, left out of the tokens: 2." in text
    assert "Left out" not in tables.report([rows[0], rows[2]])


def test_all_seeds_of_a_task_are_one_figure() -> None:
    def run(name: str, seed: int, tokens: int) -> Record:
        row = record(name, "a", True, tokens - 1)
        row.seed = seed
        return row

    pairs = [(run("assay", 1, 10), run("other", 1, 1000)), (run("assay", 2, 1000), run("other", 2, 10))]
    assert tables._log_ratios(pairs) == pytest.approx([0.0])


def test_tables_have_their_place_in_a_page() -> None:
    page = "a\n<!-- solve -->\nold\n<!-- end -->\nb <!-- end -->\n"
    assert tables.placed(page, "new\n") == "a\n<!-- solve -->\n\n## Results\n\nnew\n\n<!-- end -->\nb <!-- end -->\n"
    with pytest.raises(ValueError, match="solve"):
        tables.placed("a page", "new")


def test_nothing_solved_has_no_price() -> None:
    assert "none solved" in tables.report([record("other", "a", False, 9)])
