"""The fault catalogue: what must be survived, which test shows it, and what it costs, measured."""
