"""How many tasks each agent solves with one model, and for how many tokens (docs/solving.md)."""
