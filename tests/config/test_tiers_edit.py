"""Tiers change in the file, and nothing else does: comments, quotes, order, other routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.tiers_edit import with_tiers
from sidecar.config.yaml_tree import parse_tree
from sidecar.errors import ConfigError

FLOW = """\
# our models
routes:
  classify: {tiers: [[gpt-4o], [small]], within: 2s}  # cheap
  other:
    tiers: [[gpt-4o], [small]]  # stays
"""


def edited(text: str, tiers: list[list[str]], route: str = "classify") -> str:
    """Return the text after the change."""
    return with_tiers(text.encode(), "file", route, tiers).decode()


def test_tiers_change_places() -> None:
    """In one line, only the names move."""
    assert edited(FLOW, [["small"], ["gpt-4o"]]) == FLOW.replace(
        "classify: {tiers: [[gpt-4o], [small]]", "classify: {tiers: [[small], [gpt-4o]]"
    )


BLOCK = """\
routes:
  classify:
    within: 2s
    # best first
    tiers:
      - [gpt-4o, "claude"]   # the big ones
      # and then
      - - small              # ours

    # patience
    budget: 0.1
"""


def test_comments_of_a_block_stay_where_they_are() -> None:
    """Tiers change places around the comments."""
    assert (
        edited(BLOCK, [["small"], ["gpt-4o", "claude"]])
        == """\
routes:
  classify:
    within: 2s
    # best first
    tiers:
      - - small   # the big ones
      # and then
      - [gpt-4o, "claude"]              # ours

    # patience
    budget: 0.1
"""
    )


def test_a_list_that_becomes_another_is_written_anew() -> None:
    """A model that leaves its tier; names that need quotes get them."""
    text = "routes:\n  r:\n    tiers:\n    - [a, 1b]\n    - [c]\n    within: 1s # x\n"
    assert edited(text, [["1b"], ["a"], ["c"]], "r") == (
        'routes:\n  r:\n    tiers: [["1b"], [a], [c]]\n    within: 1s # x\n'
    )
    commented = text.replace("tiers:", "tiers: # best")
    assert edited(commented, [["1b"], ["a"], ["c"]], "r") == (
        'routes:\n  r:\n    tiers: # best\n      [["1b"], [a], [c]]\n    within: 1s # x\n'
    )


@pytest.mark.parametrize(
    ("text", "route", "tiers", "words"),
    [
        ("routes:\n r:\n  tiers:\n  - [a, b] # why\n  - [c]\n", "r", [["b"], ["a"], ["c"]], "lost"),
        ("routes: {r: {tiers: &t [[a], [b]]}, s: {tiers: *t}}\n", "r", [["b"], ["a"]], "more"),
        ("routes: {r: {within: 1s}}\n", "r", [["a"]], "no tiers"),
        ("routes: {}\n", "r", [["a"]], "no tiers"),
        ("[1]\n", "r", [["a"]], "no tiers"),
        ("a: [\n", "r", [["a"]], "YAML"),
    ],
)
def test_what_cannot_be_done_is_refused(
    text: str, route: str, tiers: list[list[str]], words: str
) -> None:
    """Comments that would go, aliases that would take others along, files of something else."""
    with pytest.raises(ConfigError, match=words):
        edited(text, tiers, route)


def test_json_and_a_byte_order_mark() -> None:
    """JSON is edited as it is, and the mark stays."""
    text = b'\xef\xbb\xbf{"routes": {"r": {"tiers": [["a"], ["b"]]}}}'
    done = with_tiers(text, "file", "r", [["b"], ["a"]])
    assert done == b'\xef\xbb\xbf{"routes": {"r": {"tiers": [["b"], ["a"]]}}}'


NAMES = st.sampled_from(["a", "b", "gpt-4o", "1x", "true", "ü", "d:e", "no"])


@given(
    st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=4),
    st.permutations(range(4)),
    st.booleans(),
)
def test_whatever_is_written_reads_as_wanted(
    tiers: list[list[str]], order: list[int], is_block: bool
) -> None:
    """In either style, the file then says these tiers and else what it said."""
    quoted = [["'" + name + "'" for name in tier] for tier in tiers]
    lines = [f"      - [{', '.join(tier)}]" for tier in quoted]
    own = "\n" + "\n".join(lines) if is_block else " " + str(tiers).replace('"', "'")
    text = f"routes:\n  r:\n    tiers:{own}\n    within: 1s  # ü\n"
    wanted = [tiers[at] for at in order if at < len(tiers)]
    done = edited(text, wanted, "r")
    assert parse_tree(done.encode(), "f").value == {
        "routes": {"r": {"tiers": wanted, "within": "1s"}}
    }
    assert done.endswith("    within: 1s  # ü\n")
