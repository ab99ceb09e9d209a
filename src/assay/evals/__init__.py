"""Task sets, runs, scores and reports over the same session logs. Nothing here yet; no command pretends otherwise."""
