"""Bytes to values and back, pure: one file a format and direction, and a neutral form between formats."""
