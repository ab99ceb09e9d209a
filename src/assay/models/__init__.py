"""Access to models: a provider is a dialect at an endpoint, with a key, plus a profile of facts."""
