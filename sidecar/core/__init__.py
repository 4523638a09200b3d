"""Deterministic decisions: no await, no clock, no I/O; `now` and `rng` are arguments."""
