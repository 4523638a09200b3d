"""YAML (and JSON, its subset) to plain values that remember their lines.

PyYAML's own loader keeps the last of two equal keys, reads ``on`` and ``12:30`` as something else
than text and forgets where things stood. Here the composed nodes are walked instead: every member's
path leads to its line, equal keys are a problem, plain scalars follow the YAML 1.2 core schema
(only null, true, false and numbers are not text). Size, depth and number of nodes (aliases
expanded) are bounded before anything is built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from sidecar.config.problems import Problems, member, shown
from sidecar.errors import ConfigError
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BYTES_MAX = 1024 * 1024
DEPTH_MAX = 32
NODES_MAX = 50_000

_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


class _Loader(_Base):  # type: ignore[misc,valid-type] # the C loader where libyaml is, else the Python one
    """The safe loader with the scalars of the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's name


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(rf"^(?:{_pattern})$"), _first)


@value
class Tree:
    """``value`` of plain dicts, lists and scalars; ``lines`` from path to line, counted from 1.

    ``problems`` are those found so far; whoever reads the values adds theirs.
    """

    value: object
    lines: Mapping[str, int]
    source: str
    problems: Problems


def parse_tree(data: bytes, source: str) -> Tree:
    """Return what ``data`` says; ``source`` names the file in messages.

    Raises:
        ConfigError: not UTF-8, not YAML, empty, several documents, or beyond the bounds. Equal keys
            and other faults of single members are in the tree's ``problems``, so that they are
            told together with what the values have wrong.
    """
    node = _compose(_decode(data, source), source)
    builder = _Builder(source)
    value = builder.build(node, "$", 0)
    return Tree(value=value, lines=builder.lines, source=source, problems=builder.problems)


def node_at(text: str, source: str, keys: Sequence[str]) -> yaml.Node | None:
    """Return the node at the end of ``keys``, with its marks; None if there is none.

    Raises:
        ConfigError: as for ``parse_tree``.
    """
    node: yaml.Node | None = _compose(text, source)
    for key in keys:
        members = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((found for name, found in members if name.value == key), None)
    return node


def _decode(data: bytes, source: str) -> str:
    """Return the text of ``data``."""
    if len(data) > BYTES_MAX:
        message = f"{source}:1: $: expected at most {BYTES_MAX} bytes, got {len(data)}"
        raise ConfigError((message,))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"{source}:{line}: $: expected UTF-8 text, got byte 0x{data[error.start]:02x}"
        raise ConfigError((f"{message}; save the file as UTF-8",)) from None


def _compose(text: str, source: str) -> yaml.Node:
    """Return the one document of ``text`` as nodes, after a look at its depth."""
    try:
        _bound_depth(text, source)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError((_syntax_problem(error, text, source),)) from None
    if node is None:
        message = f"{source}:1: $: the file is empty; `sidecar schema` says what may be in it"
        raise ConfigError((message,))
    return node


def _bound_depth(text: str, source: str) -> None:
    """Refuse absurd nesting and a second document while they are still a flat run of events."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > DEPTH_MAX or documents > 1:
            line = _line(event)
            what = f"nested deeper than {DEPTH_MAX}" if depth > DEPTH_MAX else "a second document"
            hint = "flatten it" if depth > DEPTH_MAX else "keep one, remove the `---` line"
            raise ConfigError((f"{source}:{line}: $: expected one document, got {what}; {hint}",))


def _line(marked: yaml.Event | yaml.Node) -> int:
    """Return the line where something starts, counted from 1."""
    return marked.start_mark.line + 1 if marked.start_mark is not None else 1


def _syntax_problem(error: yaml.YAMLError, text: str, source: str) -> str:
    """Return the problem line of a YAML error, with its place and for tabs its cause."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else 1
    said = getattr(error, "problem", None) or str(error).partition("\n")[0]
    rows = text.split("\n")
    row = rows[line - 1] if line <= len(rows) else ""
    if "\t" in row[: len(row) - len(row.lstrip())]:
        said = "a tab in the indentation; indent with spaces"
    return f"{source}:{line}: $: not valid YAML: {shown(said)[1:-1]}"


class _Builder:
    """Turns nodes into values; ``lines`` and ``problems`` fill on the way."""

    def __init__(self, source: str) -> None:
        self.lines: dict[str, int] = {}
        self.problems = Problems(source, self.lines)
        self._source = source
        self._nodes = 0

    def build(self, node: yaml.Node, path: str, depth: int) -> object:
        """Return the value of ``node``, which stands at ``path``."""
        self._nodes += 1
        self.lines.setdefault(path, _line(node))
        if depth > DEPTH_MAX or self._nodes > NODES_MAX:
            message = f"expected at most {NODES_MAX} values nested at most {DEPTH_MAX} deep"
            self.problems.add(path, f"{message}, aliases expanded; use fewer aliases")
            self.problems.raise_any()
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, path, depth)
        return self._scalar(node, path)

    def _sequence(self, node: yaml.SequenceNode, path: str, depth: int) -> list[object]:
        """Return the list of ``node``."""
        self._refuse_tag(node, path, "seq")
        return [
            self.build(item, member(path, index), depth + 1)
            for index, item in enumerate(node.value)
        ]

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, object]:
        """Return the mapping of ``node``; keys given here win over merged ones (``<<``)."""
        self._refuse_tag(node, path, "map")
        built: dict[str, object] = {}
        merged: dict[str, object] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged = {**self._merged(value_node, path, depth), **merged}
                continue
            key = self._key(key_node, path)
            line = _line(key_node)
            place = member(path, key)
            first_line = first_lines.setdefault(key, line)
            if key in built:
                message = f"duplicate key {shown(key)}, first at line {first_line}; keep one"
                self.problems.add(place, message, line=line)
                continue
            self.lines[place] = line
            built[key] = self.build(value_node, place, depth + 1)
        return {**merged, **built}

    def _key(self, node: yaml.Node, path: str) -> str:
        """Return the text of a key; other keys than text are a problem."""
        if isinstance(node, yaml.ScalarNode):
            if node.tag != f"{_TAG}str":
                message = f"expected a text key, got {shown(node.value)[1:-1]}; put it in quotes"
                self.problems.add(path, message, line=_line(node))
            return str(node.value)
        message = "expected a text key, got a collection; remove the `?`, `[` or `{` before it"
        self.problems.add(path, message, line=_line(node))
        return ""

    def _merged(self, node: yaml.Node, path: str, depth: int) -> dict[str, object]:
        """Return the members that ``<<`` brings in; of several mappings the first wins."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, object] = {}
        for part in nodes:
            value = self.build(part, path, depth + 1)
            if isinstance(value, dict):
                merged = {**value, **merged}
            else:
                self.problems.add(path, f"expected a mapping after <<, got {shown(value)}")
        return merged

    def _scalar(self, node: yaml.Node, path: str) -> object:
        """Return the text, number, boolean or None of ``node``."""
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        try:
            return _SCALARS[kind](text)
        except KeyError:
            self._refuse_tag(node, path, "str")
        except ValueError:
            self.problems.add(path, f"expected a value of tag !!{kind}, got {shown(text)}")
        return None

    def _refuse_tag(self, node: yaml.Node, path: str, kind: str) -> None:
        """Note a tag that asks for something else than plain data."""
        if node.tag != _TAG + kind:
            self.problems.add(
                path, f"expected plain data, got the tag {shown(node.tag)}; remove it"
            )


def _integer(text: str) -> int:
    """Return the integer of ``text``, which may be octal (``0o``) or hexadecimal (``0x``)."""
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _boolean(text: str) -> bool:
    """Return whether ``text`` says true."""
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _number(text: str) -> float:
    """Return the number of ``text``; YAML writes infinity as ``.inf``."""
    lowered = text.lower()
    for word in ("inf", "nan"):
        lowered = lowered.replace(f".{word}", word)
    return float(lowered)


def _nothing(text: str) -> None:
    """Return None; ``text`` is one of the ways to write it."""


_SCALARS: Mapping[str, Callable[[str], object]] = {
    "str": str,
    "int": _integer,
    "float": _number,
    "bool": _boolean,
    "null": _nothing,
}
