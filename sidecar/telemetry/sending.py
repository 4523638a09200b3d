"""One signal's way to its collector: an HTTP connection that is kept, tries, and what went wrong.

Used by the exporter's thread alone, so it may block: for the signal's timeout at most, all tries
together. What the collector says is worth trying again (429, 502, 503, 504) and broken connections
are, after a pause that doubles; what still fails is dropped and counted, since what comes next is
more worth having. No proxies of the environment, no redirects: headers may hold a key.
"""

from __future__ import annotations

import gzip
import http.client
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import threading

    from sidecar.telemetry.environment import Target

log = logging.getLogger("sidecar")

AGAIN = frozenset({429, 502, 503, 504})
FIRST_PAUSE_S, PAUSE_S_MAX = 0.5, 5.0
TYPE = "application/x-protobuf"
WELL_BELOW = 300


class Sender:
    """Sends requests of one signal. ``failed`` and ``sent`` count requests."""

    def __init__(self, target: Target, signal: str, closing: threading.Event) -> None:
        self.target = target
        self.signal = signal
        self.sent = self.failed = 0
        self._closing = closing
        self._url = urlsplit(target.url)
        self._connection: http.client.HTTPConnection | None = None
        self._is_down = False

    def send(self, body: bytes) -> bool:
        """Send one request; return whether it arrived."""
        if self.target.is_compressed:
            body = gzip.compress(body, compresslevel=1)
        until = time.monotonic() + self.target.timeout_s  # noqa: TID251 - a thread has no loop
        pause_s = FIRST_PAUSE_S
        while True:
            problem, wait_s = self._once(body, until)
            if problem is None:
                self._says_well()
                return True
            wait_s = max(pause_s, wait_s or 0.0)
            left_s = until - time.monotonic()  # noqa: TID251 - as above
            if wait_s >= left_s or wait_s == float("inf") or self._closing.wait(wait_s):
                self._says_ill(problem)
                return False
            pause_s = min(PAUSE_S_MAX, 2 * pause_s)

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _once(self, body: bytes, until: float) -> tuple[str | None, float | None]:
        """Try once; return the problem, and how long the collector wants to be left alone."""
        left_s = max(0.05, until - time.monotonic())  # noqa: TID251 - as above
        is_kept = self._connection is not None
        try:
            connection = self._connection or self._connect(left_s)
            self._connection = connection
            if connection.sock is not None:
                connection.sock.settimeout(left_s)
            connection.request("POST", self._path(), body, self._headers())
            answer = connection.getresponse()
            answer.read(65_536)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            # A connection that was kept may just have been too old.
            return type(error).__name__, 0.0 if is_kept else None
        if answer.will_close or not answer.isclosed():
            self.close()
        if answer.status < WELL_BELOW:
            return None, None
        said = f"HTTP {answer.status}"
        if answer.status not in AGAIN:
            return said, float("inf")
        return said, _seconds(answer.getheader("retry-after"))

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        url = self._url
        host, port = url.hostname or "", url.port
        if url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        import ssl  # noqa: PLC0415 - only for collectors behind TLS

        target = self.target
        context = ssl.create_default_context(cafile=target.certificate)
        if target.client_certificate is not None:
            context.load_cert_chain(target.client_certificate, target.client_key)
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)

    def _path(self) -> str:
        query = f"?{self._url.query}" if self._url.query else ""
        return (self._url.path or "/") + query

    def _headers(self) -> dict[str, str]:
        own = {"content-type": TYPE, "user-agent": "OTel-OTLP-Exporter-llm-resilience-sidecar"}
        if self.target.is_compressed:
            own["content-encoding"] = "gzip"
        return {**own, **dict(self.target.headers)}

    def _says_well(self) -> None:
        self.sent += 1
        if self._is_down:
            self._is_down = False
            log.info("telemetry signal=%s state=sent", self.signal)

    def _says_ill(self, problem: str) -> None:
        """Say once that the collector cannot be had; its URL may hold a key, so its host alone."""
        self.failed += 1
        if not self._is_down:
            self._is_down = True
            log.warning(
                "telemetry signal=%s state=lost collector=%s reason=%s",
                self.signal,
                self._url.hostname,
                problem,
            )


def _seconds(text: str | None) -> float | None:
    """Return a ``Retry-After`` in seconds; its form as a date is not worth a parser here."""
    return float(text) if text is not None and text.isdigit() else None
