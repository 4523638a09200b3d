"""Errors in Google's shape, so that its SDKs raise what fits: the code is a number.

    {"error": {"code": 429, "message": …, "status": "RESOURCE_EXHAUSTED", "details": […]}}

``error`` stands first: the Python SDK finds an error in a stream by how its chunk begins.
"""

from __future__ import annotations

import msgspec

from sidecar.wire.sse import encode_event

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_STREAM_CODES = {"deadline_exceeded": 504, "internal": 500}
_UNAVAILABLE = 503
_REASON_TYPE = "type.googleapis.com/google.rpc.ErrorInfo"


class _Error(msgspec.Struct):
    message: str | None = None


class _Body(msgspec.Struct):
    error: _Error | None = None


_BODY = msgspec.json.Decoder(_Body | list[_Body])


def render_error(*, status: int, code: str, message: str, details: dict[str, object]) -> bytes:
    """Write an error body; code and details ride in ``error.sidecar``, the code also where Google
    puts its reasons.
    """
    info = {"@type": _REASON_TYPE, "reason": code.upper(), "domain": "sidecar"}
    error = {
        "code": status,
        "message": message,
        "status": _STATUSES.get(status, "UNKNOWN"),
        "details": [info],
        "sidecar": details,
    }
    return msgspec.json.encode({"error": error})


def render_stream_error(*, code: str, message: str, details: dict[str, object]) -> bytes:
    """Write the event that ends a broken stream."""
    status = _STREAM_CODES.get(code, _UNAVAILABLE)
    return encode_event(render_error(status=status, code=code, message=message, details=details))


def error_text(body: bytes) -> str | None:
    """Return the message of a provider's error body, None if it has none; Vertex wraps it in a
    list.
    """
    try:
        read = _BODY.decode(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(read, list):
        read = read[0] if read else _Body()
    return (read.error.message or None) if read.error is not None else None
