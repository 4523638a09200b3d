"""The one place where aiohttp, ssl and os errors become the family of ``AttemptError``.

The phase decides, not the exception's type alone: whatever fails before a connection stands is
CONNECT, since nothing was asked of the provider yet. A kept-alive connection that dies before a
byte of the answer is stale: the provider had closed it while the request was on its way, which says
nothing about its health. Everything later is a broken connection, or bytes that are not HTTP.
Messages name the error's class and, for system errors, the system's words; never what was read,
which may be part of an answer.
"""

from __future__ import annotations

import os
import socket
import ssl
import zlib

import aiohttp
from aiohttp import http_exceptions

from sidecar.errors import (
    AttemptError,
    ConnectFailedError,
    ConnectionBrokenError,
    ProtocolBrokenError,
    StaleConnectionError,
)

TRANSLATED = (aiohttp.ClientError, OSError, TimeoutError, zlib.error, ValueError)
"""What may come out of the HTTP client; everything else is a bug and stays itself."""

_CONNECTING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_WORDS = (
    (aiohttp.ConnectionTimeoutError, "not in time"),
    (aiohttp.ServerDisconnectedError, "closed by the other side"),
    (aiohttp.ClientPayloadError, "the body ended too early or was malformed"),
    (aiohttp.ClientResponseError, "the answer's head is malformed"),
    ((ValueError, zlib.error), "the body cannot be decoded"),
    (TimeoutError, "not in time"),
    (OSError, "closed by the other side"),
)
"""Callers read these messages: a library's class names mean nothing to them."""
_CUT = (http_exceptions.ContentLengthError,)


def translate(
    error: BaseException, *, is_connecting: bool, was_reused: bool, bytes_seen: int
) -> AttemptError:
    """Return what ``error`` means for the attempt, to be raised from it.

    Args:
        error: one of ``TRANSLATED``.
        is_connecting: no connection stands yet.
        was_reused: the connection had carried an answer before.
        bytes_seen: bytes of the answer that are known to have arrived.
    """
    said = _described(error)
    if is_connecting or isinstance(error, _CONNECTING):
        return ConnectFailedError(f"no connection: {said}")
    if _is_garbage(error):
        return ProtocolBrokenError(f"not HTTP: {said}")
    if was_reused and bytes_seen == 0:
        return StaleConnectionError(f"a kept-alive connection was dead: {said}")
    return ConnectionBrokenError(f"the connection broke: {said}")


def _is_garbage(error: BaseException) -> bool:
    """Say whether bytes arrived that no HTTP sender means, as opposed to too few of them."""
    if isinstance(error, aiohttp.ClientPayloadError):
        cause = error.__cause__
        return isinstance(cause, http_exceptions.HttpProcessingError) and not _is_cut(cause)
    return isinstance(error, (aiohttp.ClientResponseError, ValueError, zlib.error)) and not (
        isinstance(error, ssl.SSLError)
    )


def _is_cut(cause: http_exceptions.HttpProcessingError) -> bool:
    # the parser says a short chunked body with the type of a malformed one; only the words differ
    return isinstance(cause, _CUT) or "Not enough data" in cause.message


def _described(error: BaseException) -> str:
    root = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    said: str | None = None
    if isinstance(root, ssl.SSLError):
        said = root.reason
    elif isinstance(root, socket.gaierror):
        said = root.strerror
    elif isinstance(root, OSError) and root.errno is not None and root.errno > 0:
        said = os.strerror(root.errno)  # asyncio puts the address where the system's words belong
    if said:
        return said
    return next((words for kind, words in _WORDS if isinstance(error, kind)), "for no known reason")
