"""Testing with an enemy: what a compromised model and a hostile repository try, made against the real command.

`python -m assay.safety` runs it; docs/security.md says what is promised and what is not.
"""
