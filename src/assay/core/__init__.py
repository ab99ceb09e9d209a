"""The words of the house: messages, events, ports, errors, budgets. No I/O, no vendor; every room imports it."""
