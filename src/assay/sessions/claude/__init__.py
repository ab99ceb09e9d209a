"""Sessions in the transcript format that programs around the `claude` command read and write: both ways."""
