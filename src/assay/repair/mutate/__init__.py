"""Small changes of suspicious functions, likeliest first: the repair that asks no model."""

from assay.repair.mutate.change import Place
from assay.repair.mutate.rank import mutations

__all__ = ["Place", "mutations"]
