"""Whether a structured answer is what its caller asked for: JSON, and valid under the schema.

Providers promise it, and fail to keep it often enough: compatible servers that ignore the schema,
models that wrap JSON in prose. A whole answer that is not valid is no answer, and another endpoint
is asked. Refusals, tool calls and answers cut by their length are something else, and say so.

Validated by ``jsonschema_rs``: drafts 4 to 2020-12, regular expressions in linear time or with a
bound on backtracking, no code made from a caller's schema (as ``fastjsonschema`` would). It is
imported with the first schema, since that takes 36 ms and 9 MiB (``jsonschema``: 100 ms, 10 MiB).
Everything is bounded (``schema_bound.py``); what exceeds a bound goes unchecked rather than be
refused. Messages name the place and the rule, never what the answer says there.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from sidecar.engine.schema_bound import (
    PATTERN,
    SCHEMA_BYTES_MAX,
    SCHEMA_DEPTH_MAX,
    TooMuchError,
    Unrolling,
    refuse_costly,
)
from sidecar.errors import BadRequestError
from sidecar.wire.neutral import OutputMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema_rs import ValidationError, Validator

    from sidecar.domain import Call
    from sidecar.engine.settlement import AttemptPlan
    from sidecar.engine.tally import Tally
    from sidecar.wire.neutral import Conversation, OutputFormat

COMPILED_MAX = 32
ANSWER_CHARS_MAX = 256 * 1024
WORK_MAX = 5_000_000
"""Subschemas times characters of the answer: each may look at all of a text."""
PLACE_WORK_MAX = 50_000
"""Subschemas times values of the answer, to find the place of a mistake too: that takes a hundred
times as long as finding that there is one.
"""
PATTERN_CHARS_MAX = 500_000
"""Patterns times characters of the answer."""
INTEGER_MAX = 10**40
PATH_CHARS_MAX = 200
BACKTRACKS_MAX = 1_000
REGEX_BYTES_MAX = 64 * 1024

_NO_SCHEMA = (None, b"", b"null", b"{}")


def flaw_in(tally: Tally, plan: AttemptPlan) -> str | None:
    """Return how an answer that ended is not what its caller asked for, None if it is."""
    if plan.flaw_of is None:
        return None
    text = tally.structured()
    return None if text is None else plan.flaw_of(text)


def defect_of(tally: Tally, plan: AttemptPlan) -> str | None:
    """Return why a whole answer with content is none, None if it is one."""
    if tally.is_degenerate():
        return "one character over and over"
    flaw = flaw_in(tally, plan)
    return None if flaw is None else f"the answer is not what was asked for at {flaw}"


class OutputChecks:
    """Owns the compiled schemas, least recently used first; None where one is not to be checked."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[bytes, _Compiled | None] = OrderedDict()

    def check_for(
        self, call: Call, conversation: Callable[[], Conversation]
    ) -> Callable[[str], str | None] | None:
        """Return what says how the text of a whole answer to ``call`` is wrong (``$.a[0]: type``),
        and None if it is right; None if nothing is to be checked.
        """
        if not (call.facts.may_bind_output and call.route.checks_output):
            return None
        try:
            wanted = conversation().output
        except BadRequestError:
            # The provider may understand what we do not; then it is for the caller to judge.
            return None
        is_unsaid = wanted.mode is OutputMode.JSON_SCHEMA and wanted.schema in _NO_SCHEMA
        if wanted.mode is OutputMode.TEXT or is_unsaid:
            return None
        return lambda text: self.flaw(wanted, text)

    def flaw(self, wanted: OutputFormat, text: str) -> str | None:
        """Return how ``text`` is not what was wanted, None if it is."""
        if len(text) > ANSWER_CHARS_MAX:
            return None
        try:
            value = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            return "$: not JSON"
        if wanted.mode is OutputMode.JSON_OBJECT:
            return None if isinstance(value, dict) else "$: not an object"
        compiled = self._schema(wanted.schema or b"{}")
        return None if compiled is None else compiled.flaw(value, len(text))

    def _schema(self, raw: bytes) -> _Compiled | None:
        if raw in self._compiled:
            self._compiled.move_to_end(raw)
            return self._compiled[raw]
        try:
            compiled = _Compiled(raw)
        except (TooMuchError, TypeError, ValueError, RecursionError):
            compiled = None
        # One too long to be compiled is too long to be remembered.
        if compiled is not None or len(raw) <= SCHEMA_BYTES_MAX:
            self._compiled[raw] = compiled
        if len(self._compiled) > COMPILED_MAX:
            self._compiled.popitem(last=False)
        return compiled


class _Compiled:
    """One schema, ready; raises ``TooMuchError``, ``TypeError`` or ``ValueError``."""

    def __init__(self, raw: bytes) -> None:
        refuse_costly(raw)
        schema = msgspec.json.decode(raw)
        _extent(schema)
        self._unrolling = Unrolling(schema)
        self._unrolling.size(1)
        self._patterns = raw.count(PATTERN)
        self._names = set(_names(schema))
        self._validator = _compile(schema)

    def flaw(self, value: object, chars: int) -> str | None:
        """Return the place and rule of a mistake, None if there is none or it may take too long."""
        if self._patterns * chars > PATTERN_CHARS_MAX:
            return None
        try:
            values, depth = _extent(value)
            subschemas = self._unrolling.size(depth)
        except TooMuchError:
            return None
        if subschemas * chars > WORK_MAX or self._validator.is_valid(value):
            return None
        if subschemas * values > PLACE_WORK_MAX:
            return "$: schema"
        error = next(iter(self._validator.iter_errors(value)), None)
        if error is None or "BacktrackLimit" in type(error.kind).__name__:
            return None  # a pattern that nobody could decide
        return f"{self._path(error)}: {error.kind.name}"

    def _path(self, error: ValidationError) -> str:
        """Return the place; a name that only the answer knows is not shown."""
        path = "$"
        for step in error.instance_path:
            if isinstance(step, int):
                path += f"[{step}]"
            else:
                path += f".{step if step in self._names else '*'}"
        return path[:PATH_CHARS_MAX]


def _compile(schema: object) -> Validator:
    if not isinstance(schema, (dict, bool)):
        # A text would be read as a schema again, past all bounds.
        raise TypeError("a schema is an object or a boolean")
    # Imported here and not above: most sidecars never meet a schema.
    import jsonschema_rs  # noqa: PLC0415

    return jsonschema_rs.validator_for(
        schema,
        validate_formats=False,
        offline=True,
        pattern_options=jsonschema_rs.FancyRegexOptions(
            backtrack_limit=BACKTRACKS_MAX,
            size_limit=REGEX_BYTES_MAX,
            dfa_size_limit=REGEX_BYTES_MAX,
        ),
    )


def _names(schema: object) -> Iterator[str]:
    """Yield every name that a schema itself speaks of."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _extent(value: object) -> tuple[int, int]:
    """Return how many values there are in ``value``, and how many levels deep.

    Raises:
        TooMuchError: a number so long that dividing it takes its time.
    """
    count, depth, level = 0, -1, [value]
    while level and depth <= SCHEMA_DEPTH_MAX:
        count += len(level)
        depth += 1
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif isinstance(each, int) and abs(each) > INTEGER_MAX:
                raise TooMuchError("a long number")
        level = below
    return count, depth
