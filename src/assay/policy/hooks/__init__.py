"""What users have run at points of a session: how it is configured, when it is meant, how it runs, what it may say."""
