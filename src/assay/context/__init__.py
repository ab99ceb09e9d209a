"""What is put before a model: the static system text, bounded fragments with an owner, and compaction as an event."""
