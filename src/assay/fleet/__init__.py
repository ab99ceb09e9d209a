"""Many tasks on many machines: jobs, workers and the review queue. Nothing here yet; no command pretends otherwise."""
