"""Small changes of suspicious functions, likeliest first: the repair that asks no model."""
