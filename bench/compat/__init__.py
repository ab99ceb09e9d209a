"""The same conversations with the `claude` command and ours, under one scripted server: what a host sees of each."""
