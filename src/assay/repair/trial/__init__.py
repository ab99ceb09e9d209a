"""Trying many repairs fast: a driver that runs in a scratch copy, inside the sandbox, and changes modules in memory."""

from assay.repair.trial.bench import Bench
from assay.repair.trial.words import Answer, Call, Status, Step, Traced, Tried, Want

__all__ = ["Answer", "Bench", "Call", "Status", "Step", "Traced", "Tried", "Want"]
