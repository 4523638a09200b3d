"""The one place where errors of asyncio, ssl and the system become the family of ``AttemptError``.

The phase decides, not the exception's type alone: whatever fails before a connection stands is
CONNECT, since nothing was asked of the provider yet. A kept-alive connection that dies before a
byte of the answer is stale: the provider had closed it while the request was on its way, which says
nothing about its health. Everything later is a broken connection, or bytes that are not HTTP.
Messages hold words of ours or the system's; never what was read, which may be part of an answer.
"""

from __future__ import annotations

import os
import socket
import ssl

from sidecar.errors import (
    AttemptError,
    ConnectFailedError,
    ConnectionBrokenError,
    ProtocolBrokenError,
    StaleConnectionError,
)

CONNECTING = (OSError, ValueError)
"""What connecting may raise (``ValueError``: a name that IDNA cannot write)."""


def connect_failed(error: BaseException) -> ConnectFailedError:
    """Return what an error of ``CONNECTING`` means."""
    if isinstance(error, ConnectFailedError):
        return error
    return ConnectFailedError(f"no connection: {_described(error)}")


def broken(error: BaseException | None, *, has_head: bool, is_stale: bool) -> AttemptError:
    """Return what the end of a connection in use means.

    Args:
        error: what ended it, None for an orderly end.
        has_head: the answer had begun.
        is_stale: the connection was reused, and no byte of an answer had come.
    """
    said = _described(error)
    if is_stale:
        return StaleConnectionError(f"a kept-alive connection was dead: {said}")
    if has_head and error is None:
        said = "the body ended too early"
    return ConnectionBrokenError(f"the connection broke: {said}")


def garbage(*, has_head: bool) -> ProtocolBrokenError:
    """Return what bytes mean that the parser refused."""
    part = "the answer's body is malformed" if has_head else "the answer's head is malformed"
    return ProtocolBrokenError(f"not HTTP: {part}")


def _described(error: BaseException | None) -> str:
    said: str | None = None
    if isinstance(error, ssl.SSLError):
        said = error.reason
    elif isinstance(error, socket.gaierror):
        said = error.strerror
    elif isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        said = os.strerror(error.errno)  # asyncio puts the address where the system's words belong
    if said:
        return said
    if isinstance(error, TimeoutError):
        return "not in time"
    if error is None or isinstance(error, OSError):
        return "closed by the other side"
    return "for no known reason"
