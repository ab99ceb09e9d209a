"""assay: a coding agent that proves its work.

Importing this package does no work; the command lives in `assay.__main__`, the rooms are described in docs/design.md.
"""

from assay._version import __version__

__all__ = ["__version__"]
