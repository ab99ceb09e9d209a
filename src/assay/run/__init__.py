"""One session alive in a process: prompt, steer, interrupt, resume. It holds nothing that is not a fold of its log."""
