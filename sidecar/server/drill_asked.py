"""Which drill an operator asks for: the body of ``POST /api/v1/drills``.

{"endpoint": "openai/gpt-4o", "fault": "hang", "for": "60s", "share": 0.5}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import EndpointId
from sidecar.durations import parse_duration
from sidecar.errors import BadRequestError
from sidecar.events import DRILL_FAULTS, DRILL_S_MAX
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.events import DrillFault

_MEMBERS = ("endpoint", "fault", "for", "share")
_DECODER = msgspec.json.Decoder(dict[str, object])


@value
class DrillAsked:
    """``fault`` at ``endpoint`` for so many seconds, to ``share`` of its attempts, above 0 to 1."""

    endpoint: EndpointId
    fault: DrillFault
    for_s: float
    share: float


def drill_asked(body: bytes) -> DrillAsked:
    """Return what ``body`` asks for.

    Raises:
        BadRequestError: it is no such request; names the member and what is expected.
    """
    try:
        given = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"expected an object of {', '.join(_MEMBERS)}: {error}") from None
    for name in given:
        if name not in _MEMBERS:
            raise BadRequestError(f"no member {name[:40]!r}; there are {', '.join(_MEMBERS)}")
    endpoint, fault = given.get("endpoint"), given.get("fault")
    if not isinstance(endpoint, str):
        raise BadRequestError("endpoint: expected the id of an endpoint", path="$.endpoint")
    if fault not in DRILL_FAULTS:
        raise BadRequestError(f"fault: expected {' or '.join(DRILL_FAULTS)}", path="$.fault")
    return DrillAsked(
        endpoint=EndpointId(endpoint),
        fault=DRILL_FAULTS[DRILL_FAULTS.index(fault)],
        for_s=_for_s(given.get("for", "60s")),
        share=_share(given.get("share", 1.0)),
    )


def _for_s(given: object) -> float:
    try:
        for_s = parse_duration(given if isinstance(given, str) else repr(given))
    except ValueError as error:
        raise BadRequestError(f"for: {error}", path="$.for") from None
    if not 0.0 < for_s <= DRILL_S_MAX:
        raise BadRequestError("for: expected more than nothing and at most 1h", path="$.for")
    return for_s


def _share(given: object) -> float:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not (is_number and 0.0 < given <= 1.0):  # type: ignore[operator]  # it is a number
        raise BadRequestError("share: expected a number above 0, at most 1", path="$.share")
    return float(given)  # type: ignore[arg-type]  # as above
