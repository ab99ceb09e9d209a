"""Egress: the one way out of the sandbox, a proxy on this side of it."""
