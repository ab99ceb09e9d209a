"""The command line: flags, sub-commands, and the headless task."""
