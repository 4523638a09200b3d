"""Bytes to values and back, pure: one file a format and direction, a neutral form between."""
