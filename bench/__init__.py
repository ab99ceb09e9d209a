"""What `assay` costs, against other agents, measured: `python -m bench --help`; docs/performance.md has the figures."""
