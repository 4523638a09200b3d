"""Errors in Anthropic's shape, so that its SDKs raise the exception that fits."""

from __future__ import annotations

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import decode
from sidecar.wire.sse import encode_event

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STREAM_TYPES = {
    "deadline_exceeded": "timeout_error",
    "draining": "overloaded_error",
    "unavailable": "overloaded_error",
}
_OTHER = "api_error"


class ErrorObject(msgspec.Struct):
    """What a provider says went wrong."""

    message: str
    type: str | None = None


class ErrorBody(msgspec.Struct):
    """``{"type":"error","error":{…}}``, the same in bodies and in streams."""

    error: ErrorObject


_BODY = msgspec.json.Decoder(ErrorBody)


def render_error(*, status: int, code: str, message: str, details: dict[str, object]) -> bytes:
    """Write an error body; code and details ride in ``error.sidecar``, which SDKs pass over."""
    return _encode(_TYPES.get(status, _OTHER), code, message, details)


def render_stream_error(*, code: str, message: str, details: dict[str, object]) -> bytes:
    """Write the event that ends a broken stream."""
    return encode_event(
        _encode(_STREAM_TYPES.get(code, _OTHER), code, message, details), event="error"
    )


def error_text(body: bytes) -> str | None:
    """Return the message of a provider's error body, None if it has none."""
    try:
        return decode(_BODY, body).error.message
    except WireError:
        return None


def _encode(kind: str, code: str, message: str, details: dict[str, object]) -> bytes:
    error = {"type": kind, "message": message, "sidecar": {"code": code, **details}}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": None})
