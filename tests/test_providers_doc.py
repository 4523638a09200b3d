"""The page on providers says what the code does."""

from __future__ import annotations

from docs.make_providers import FILE, text


def test_the_page_is_current() -> None:
    """Who changes a kind, a codec or a recording makes the page anew."""
    is_current = FILE.read_text(encoding="utf-8") == text()
    assert is_current, "docs/providers.md is out of date: python -m docs.make_providers"
