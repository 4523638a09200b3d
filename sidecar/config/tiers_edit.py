"""Changing the tiers of a route in a configuration file, and nothing else of its text.

The text is edited where the node stands, so comments, quotes and the order of members stay. Where
tiers are the old ones in another order, their texts change places and comments between them stay
too; else the list is written anew, in one line, unless that would lose a comment within it. The
result is read again: every value but these tiers must be what it was, or the edit is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from sidecar.config.problems import member
from sidecar.config.yaml_tree import node_at, parse_tree
from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Tiers = Sequence[Sequence[str]]
    Span = tuple[int, int]

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORDS = frozenset({"null", "true", "false"})


def with_tiers(data: bytes, source: str, route: str, tiers: Tiers) -> bytes:
    """Return ``data`` with ``tiers`` as those of ``route``.

    Raises:
        ConfigError: the file cannot be read, has no such route, or the edit would change more.
    """
    path = member(member(member("$", "routes"), route), "tiers")
    text = data.decode("utf-8-sig")
    node = node_at(text, source, ("routes", route, "tiers"))
    if not isinstance(node, yaml.SequenceNode):
        raise ConfigError((f"{source}: {path}: there are no tiers to change; is it this file?",))
    edited = _edited(text, node, tiers)
    if edited is None:
        wanted = _flow(tiers)
        message = f"a comment within the list would be lost; write `tiers: {wanted}` yourself"
        raise ConfigError((f"{source}: {path}: {message}",))
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    done = mark + edited.encode()
    _check(data, done, source, route, tiers)
    return done


def _edited(text: str, node: yaml.SequenceNode, tiers: Tiers) -> str | None:
    """Return the text with the list changed, None if a comment would be lost."""
    before = [_names(child) for child in node.value]
    wanted = [list(tier) for tier in tiers]
    spans = [_span(text, child) for child in node.value]
    if sorted(before) == sorted(wanted):
        texts = [text[slice(*spans[before.index(tier)])] for tier in wanted]
        return _replaced(text, spans, texts)
    start, end = _span(text, node)
    if "#" in text[start:end]:
        return None
    if node.flow_style:
        return _replaced(text, [(start, end)], [_flow(tiers)])
    # A block may begin in its parent's column, a list in one line may not.
    key_end = len(text[:start].rstrip())
    if text[:key_end].endswith(":"):
        return _replaced(text, [(key_end, end)], [" " + _flow(tiers)])
    return _replaced(text, [(start, end)], ["  " + _flow(tiers)])


def _names(node: yaml.Node) -> list[str]:
    children = node.value if isinstance(node, yaml.SequenceNode) else []
    return [str(child.value) for child in children]


def _span(text: str, node: yaml.Node) -> Span:
    """Return where a node stands; one in block style ends before the blanks that follow it."""
    start, end = node.start_mark.index, node.end_mark.index
    # The end of a block is where the next token begins: comments of others lie before it.
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        end = max(_span(text, child)[1] for child in node.value)
    return start, end


def _replaced(text: str, spans: Sequence[Span], texts: Sequence[str]) -> str:
    parts, at = [], 0
    for (start, end), new in zip(spans, texts, strict=True):
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def _flow(tiers: Tiers) -> str:
    """Return ``[[small], [gpt-4o, claude]]``."""
    inner = ("[" + ", ".join(_scalar(name) for name in tier) + "]" for tier in tiers)
    return "[" + ", ".join(inner) + "]"


def _scalar(name: str) -> str:
    is_plain = name[:1] in _LETTERS and _PLAIN.issuperset(name) and name.lower() not in _WORDS
    return name if is_plain else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check(before: bytes, after: bytes, source: str, route: str, tiers: Tiers) -> None:
    """Refuse an edit after which anything but these tiers reads otherwise."""
    was, now = parse_tree(before, source).value, parse_tree(after, source).value
    expected = _with(was, route, [list(tier) for tier in tiers])
    if now != expected:
        message = "the change would alter more than these tiers (an alias or anchor?)"
        raise ConfigError((f"{source}: $.routes.{route}.tiers: {message}; edit the file yourself",))


def _with(tree: object, route: str, tiers: list[list[str]]) -> object:
    assert isinstance(tree, dict), "it has routes"
    routes = tree["routes"]
    changed = {**routes[route], "tiers": tiers}
    return {**tree, "routes": {**routes, route: changed}}
