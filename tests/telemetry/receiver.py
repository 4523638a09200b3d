"""A collector on loopback that speaks OTLP over HTTP and keeps what it was sent, decoded."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Received:
    """Requests by path, in order; ``statuses`` are answered first, then 200."""

    url: str
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    is_silent: bool = False
    release: threading.Event = field(default_factory=threading.Event)
    came: threading.Condition = field(default_factory=threading.Condition)

    def bodies(self, path: str) -> list[bytes]:
        """Return what came to ``path``."""
        return [body for where, _, body in self.requests if where == path]

    def spans(self) -> list[Any]:
        """Return all spans."""
        scopes = [scope for group in self._groups() for scope in group.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def services(self) -> set[str]:
        """Return who says that they sent them."""
        return {said(group.resource.attributes)["service.name"] for group in self._groups()}

    def _groups(self) -> list[Any]:
        bodies = self.bodies("/v1/traces")
        return [
            one
            for body in bodies
            for one in ExportTraceServiceRequest.FromString(body).resource_spans
        ]

    def metrics(self) -> dict[str, Any]:
        """Return the latest of each metric."""
        return {
            metric.name: metric
            for body in self.bodies("/v1/metrics")
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in group.scope_metrics
            for metric in scope.metrics
        }


def said(attributes: Any) -> dict[str, Any]:
    """Return attributes as plain values."""
    return {pair.key: _plain(pair.value) for pair in attributes}


def _plain(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, which) if which else None


@contextmanager
def receiver() -> Iterator[Received]:
    """Run a collector."""
    received = Received(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if received.is_silent:
                received.release.wait(30)
                self.close_connection = True
                return
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            status = received.statuses.pop(0) if received.statuses else 200
            if status == 200:
                received.requests.append((self.path, dict(self.headers), body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        received.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
