"""Candidates for tests: the fields that matter, and strategies that make whole pools of them."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from assay.search.candidate import Candidate, Vector

GREEN = Vector(targets={"t": True})
RED = Vector(targets={"t": False})


def candidate(number: int, vector: Vector = GREEN, behaviour: Mapping[str, str] | None = None, **fields) -> Candidate:
    return Candidate(
        number,
        fields.pop("strategy", "zero"),
        fields.pop("origin", "mutation"),
        vector=vector,
        behaviour=dict(behaviour or {}),
        files=fields.pop("files", 1),
        **fields,
    )


_results = st.dictionaries(st.sampled_from("abc"), st.booleans(), max_size=3)
vectors = st.builds(
    Vector,
    applies=st.booleans(),
    kept=_results,
    targets=_results,
    written=_results,
    signature=st.sampled_from(["", "x", "y"]),
)
_bodies = st.builds(
    lambda vector, behaviour, protected, lines, origin, steps: (vector, behaviour, protected, lines, origin, steps),
    vectors,
    st.dictionaries(st.sampled_from(["p:f((1,), {})", "p:f((2,), {})"]), st.sampled_from("xy!")),
    st.booleans(),
    st.integers(0, 9),
    st.sampled_from(["mutation", "spec", "check"]),
    st.integers(0, 2),
)
pools = st.lists(_bodies, min_size=1, max_size=9).map(
    lambda rows: [
        candidate(n, vector, behaviour, protected=protected, lines=lines, origin=origin, steps=steps)
        for n, (vector, behaviour, protected, lines, origin, steps) in enumerate(rows, 1)
    ]
)
"""Pools with numbers from 1 on."""
