"""Driven by another program, by lines of JSON on standard input and output, as the public Agent SDKs do it."""
