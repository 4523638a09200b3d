"""Asking a running sidecar's admin plane.

A plane that asks for a token gets the one in ``SIDECAR_TOKEN``.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import argparse
    import http.client

ADMIN = "http://127.0.0.1:4181"
TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
TOKEN_ENV = "SIDECAR_TOKEN"  # noqa: S105 - the name of a variable
EXIT_FAILED = 1
_SUCCESS = range(200, 300)


class CannotAskError(Exception):
    """There is nothing to show; the message says what to do."""


def add_admin(parser: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup) -> None:
    """Declare which sidecar is asked."""
    parser.add_argument(
        "--admin", default=ADMIN, metavar="URL", help="ask a running sidecar (default: %(default)s)"
    )


def ask(
    url: str, path: str, *, method: str = "GET", body: dict[str, object] | None = None
) -> dict[str, Any]:
    """Return what the admin plane at ``url`` answers.

    Raises:
        CannotAskError: nobody answers there, it refuses, or it is no such plane.
    """
    from http.client import HTTPException  # noqa: PLC0415 - 20 ms of every command's start

    token = os.environ.get(TOKEN_ENV)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    sent = None if body is None else json.dumps(body).encode()
    try:
        connection = _connection(url)
        try:
            connection.request(method, path, body=sent, headers=headers)
            answer = connection.getresponse()
            said = json.loads(answer.read(ANSWER_BYTES_MAX))
        finally:
            connection.close()
    except (OSError, ValueError, HTTPException) as error:
        why = f"no sidecar answers at {url} ({str(error) or type(error).__name__})"
        message = f"{why}; start one, or name its admin plane (--admin URL)"
        raise CannotAskError(message) from error
    if not isinstance(said, dict):
        raise CannotAskError(f"{url} is no sidecar's admin plane; name it by --admin URL")
    if answer.status not in _SUCCESS:
        told = said.get("error")
        why = told.get("message", "") if isinstance(told, dict) else ""
        raise CannotAskError(f"{url} answered {answer.status}: {why}")
    return said


def _connection(url: str) -> http.client.HTTPConnection:
    from http.client import HTTPConnection, HTTPSConnection  # noqa: PLC0415 - as above

    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    kind = HTTPSConnection if is_tls else HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
