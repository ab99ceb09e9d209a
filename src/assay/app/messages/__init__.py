"""What happens in a run, as the messages that programs read: one projection for every surface."""
