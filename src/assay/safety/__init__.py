"""Evaluations with an enemy: adversaries, canaries, audits. Nothing here yet; no command pretends otherwise."""
