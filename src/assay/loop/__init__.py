"""The loop: ask, act, repeat, until the harness says that the turn has ended. It knows ports only."""
