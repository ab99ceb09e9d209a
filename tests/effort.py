"""How hard tests try: as much as `make test` has time for, or with NIGHTLY=N (`make nightly`) N times as much."""

import os

NIGHTLY = int(os.environ.get("NIGHTLY", "0"))


def inputs(count: int) -> int:
    """How many examples a property test gets that would get `count` by day."""
    return count * max(NIGHTLY, 1)
