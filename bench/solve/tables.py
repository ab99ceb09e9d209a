"""The tables of docs/solving.md, from stored records alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.report import Report, markdown
from bench.solve.run import Record
from bench.solve.stats import BUDGETS, area, at_budget, bootstrap, grouped, holm, mcnemar, mean, wilcoxon, wilson

VERIFIED = "verified"


def report(records: Sequence[Record], baseline: str = "assay") -> str:
    """All tables that the records allow, as markdown."""
    if not records:
        return "No records."
    tables = [overall(records), by_set(records), curve(records)]
    if any(row.harness == baseline for row in records):
        tables.append(compared(records, baseline))
    if any(row.outcome for row in records):
        tables.append(honesty(records))
    return "\n".join(markdown(one) for one in tables)


def placed(page: str, text: str) -> str:
    """A page with the tables in their place. Raises ValueError when it has none."""
    before, begin, rest = page.partition("<!-- solve -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not end:
        raise ValueError("the page has no `<!-- solve -->` and `<!-- end -->` on lines of their own")
    return f"{before}{begin}\n## Results\n\n{text}\n{end}{after}"


def per_solved(rows: Sequence[Record]) -> float:
    """All tokens by tasks solved; infinite when none is."""
    solved = sum(row.solved for row in rows)
    return sum(row.tokens for row in rows) / solved if solved else math.inf


def overall(records: Sequence[Record]) -> Report:
    """One row a harness."""
    columns = ["harness", "runs", "solved", "95 %", "tokens a solved task", "95 %", "fresh tokens a solved task"]
    columns += ["requests a run", "model s a run", "limit hit", "too long for the context"]
    rows: list[list[str]] = []
    for name, mine in grouped(records, lambda row: row.harness).items():
        clusters = grouped(mine, lambda row: row.task)
        low, high = bootstrap(clusters, lambda drawn: mean([float(row.solved) for row in drawn]))
        least, most = bootstrap(clusters, per_solved)
        solved = sum(row.solved for row in mine)
        fresh = sum(row.tokens - row.cached for row in mine)
        rows.append(
            [
                name,
                str(len(mine)),
                f"{solved} ({solved / len(mine):.0%})",
                f"{low:.0%} to {high:.0%}",
                whole(per_solved(mine)),
                f"{whole(least)} to {whole(most)}",
                whole(fresh / solved if solved else math.inf),
                f"{mean([row.calls for row in mine]):.1f}",
                f"{mean([row.model_seconds for row in mine]):.0f}",
                str(sum(row.limited for row in mine)),
                str(sum(row.overflows > 0 for row in mine)),
            ]
        )
    notes = [
        "Tokens: every prompt token sent, cached or not, and every token written, of solved and unsolved tasks, by "
        "the solved ones; fresh: without what the server had in its prefix cache.",
        "95 %: bootstrap by task, 2,000 rounds.",
        f"Tasks: {len({row.task for row in records})}; seeds: {sorted({row.seed for row in records})}.",
    ]
    if uncounted := sum(row.uncounted for row in records):
        notes.append(f"Requests that nobody could count, left out of the tokens: {uncounted}.")
    return Report("solve", "Solved, and for how many tokens", columns, rows, {}, notes)


def by_set(records: Sequence[Record]) -> Report:
    """Solved of run, by set."""
    sets = sorted({row.set for row in records})
    rows = [
        [name, *(_share([row for row in mine if row.set == one]) for one in sets)]
        for name, mine in grouped(records, lambda row: row.harness).items()
    ]
    return Report("sets", "By set", ["harness", *sets], rows, {})


def curve(records: Sequence[Record]) -> Report:
    """Solve rate within token budgets, and the area under it."""
    rows: list[list[str]] = []
    for name, mine in grouped(records, lambda row: row.harness).items():
        points = [(float(row.tokens), row.solved) for row in mine]
        rates = [f"{at_budget(points, budget):.0%}" for budget in BUDGETS]
        rows.append([name, *rates, f"{area(points):.3f}"])
    columns = ["harness", *(f"{budget // 1000}k" for budget in BUDGETS), "area"]
    notes = ["Solved with at most so many tokens a task. Area: under this rate over log tokens, 1k to 128k; 1 is best."]
    return Report("curve", "Solve rate by token budget", columns, rows, {}, notes)


def compared(records: Sequence[Record], baseline: str) -> Report:
    """Each harness against one, on the tasks and seeds that both have run."""
    groups = grouped(records, lambda row: row.harness)
    ours = {(row.task, row.seed): row for row in groups[baseline]}
    found: dict[str, tuple[list[str], float, float]] = {}
    for name, mine in groups.items():
        pairs = [(ours[row.task, row.seed], row) for row in mine if (row.task, row.seed) in ours]
        if name == baseline or not pairs:
            continue
        left, right = [one for one, _ in pairs], [other for _, other in pairs]
        cells = [f"{sum(row.solved for row in left)} : {sum(row.solved for row in right)} of {len(pairs)}"]
        cells.append(_times(sum(row.solved for row in left), sum(row.solved for row in right)))
        cells.append(_times(per_solved(left), per_solved(right)))
        p = mcnemar(_majorities(left, right))
        found[name] = (cells, p, wilcoxon(_log_ratios(pairs)))
    solved = holm({name: one[1] for name, one in found.items()})
    tokens = holm({name: one[2] for name, one in found.items()})
    rows = [[name, *one[0], f"{solved[name]:.3f}", f"{tokens[name]:.3f}"] for name, one in found.items()]
    columns = [
        "harness",
        f"solved, {baseline} : it",
        "ratio",
        "tokens a solved task, ratio",
        "p (solved)",
        "p (tokens)",
    ]
    notes = [
        "p: McNemar (exact) on each task's majority over its seeds; Wilcoxon on log tokens, each task's mean over its "
        "seeds. Both two-sided, corrected by Holm over the rows.",
    ]
    return Report("compared", f"Against {baseline}", columns, rows, {}, notes)


def honesty(records: Sequence[Record]) -> Report:
    """What our outcome words were worth."""
    columns = [
        "harness",
        "set",
        "runs",
        "said verified",
        "of these wrong",
        "95 %",
        "did not say verified",
        "of these solved",
    ]
    rows: list[list[str]] = []
    for name, mine in grouped([row for row in records if row.outcome], lambda row: row.harness).items():
        for title, part in (*sorted(grouped(mine, lambda row: row.set).items()), ("all", mine)):
            said = [row for row in part if row.outcome == VERIFIED]
            rest = [row for row in part if row.outcome != VERIFIED]
            wrong = sum(not row.solved for row in said)
            low, high = wilson(wrong, len(said))
            share = f"{wrong} ({wrong / len(said):.1%})" if said else "-"
            between = f"{low:.1%} to {high:.1%}" if said else "-"
            solved = sum(row.solved for row in rest)
            rows.append([name, title, str(len(part)), str(len(said)), share, between, str(len(rest)), str(solved)])
    notes = ["Wrong: the hidden tests fail. 95 %: Wilson's interval of the share, runs taken for independent."]
    mute = sum(not row.outcome for row in records if row.harness in {one.harness for one in records if one.outcome})
    if mute:
        notes.append(f"Left out: {mute} that ended without a word, stopped by a limit.")
    return Report("honesty", "What `verified` was worth", columns, rows, {}, notes)


def whole(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "none solved"


def _share(rows: Sequence[Record]) -> str:
    return f"{sum(row.solved for row in rows)} of {len(rows)}" if rows else "-"


def _times(one: float, other: float) -> str:
    return f"{one / other:.2f}" if other and math.isfinite(one) and math.isfinite(other) else "-"


def _majorities(left: Sequence[Record], right: Sequence[Record]) -> list[tuple[bool, bool]]:
    """Per task: whether each solved it in more than half of its runs."""
    pairs: list[tuple[bool, bool]] = []
    others = grouped(right, lambda row: row.task)
    for task, mine in grouped(left, lambda row: row.task).items():
        pairs.append((mean([row.solved for row in mine]) > 0.5, mean([row.solved for row in others[task]]) > 0.5))
    return pairs


def _log_ratios(pairs: Sequence[tuple[Record, Record]]) -> list[float]:
    """One figure a task, the mean over its seeds: runs of one task are not independent."""
    return [
        mean([math.log((one.tokens + 1) / (other.tokens + 1)) for one, other in mine])
        for mine in grouped(pairs, lambda pair: pair[0].task).values()
    ]
