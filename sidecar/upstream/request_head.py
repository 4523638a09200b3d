"""The first bytes of a request: its line, our headers, and of the caller's those its kind may see.

What does not change from request to request is put together once. A head holds exactly the lines it
was made of: a line break in what a caller sent would be a header of its own, and is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar import clock
from sidecar.errors import ProtocolBrokenError
from sidecar.upstream.passed import below, outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.engine.ports import OutboundRequest, PassedRequest
    from sidecar.upstream.address import Address
    from sidecar.upstream.credentials import Credential
    from sidecar.upstream.kind import Kind
    from sidecar.upstream.proxies import Proxy
    from sidecar.upstream.signing import Signer

_ENGINE_HEADERS: Final = frozenset({"accept", "content-type", "traceparent", "tracestate"})
_ALWAYS_SENT: Final = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "user-agent": "llm-resilience-sidecar",
}
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that say nothing of a body they do not have; all others say that it is empty."""

_LAST: Final = "connection: close\r\n"


class Heads:
    """Writes the heads of one provider's requests; ``base`` is where it is."""

    def __init__(
        self,
        *,
        kind: Kind,
        base: Address,
        proxy: Proxy | None,
        credential: Credential | None,
        signer: Signer | None,
    ) -> None:
        self._kind = kind
        self._base_path = base.path.rstrip("/")
        self._origin = f"{base.scheme}://{base.authority}"
        self._is_absolute = proxy is not None and base.scheme == "http"
        self._credential = credential
        self._signer = signer
        self._passes = kind.forward_headers | _ENGINE_HEADERS
        sent = {**_ALWAYS_SENT, **dict(kind.fixed_headers)}
        self._changing = {name: text for name, text in sent.items() if name in self._passes}
        if kind.accept is not None:
            self._changing.pop("accept", None)
            self._passes -= {"accept"}
            sent["accept"] = kind.accept
        self._with_body = {"content-type": "application/json", **self._changing}
        self._host_line = f"host: {base.authority}\r\n"
        self._proxy_line = ""
        if self._is_absolute and proxy is not None and proxy.authorization is not None:
            self._proxy_line = f"proxy-authorization: {proxy.authorization}\r\n"
        fixed = {name: text for name, text in sent.items() if name not in self._changing}
        fixed.pop(kind.auth_header, None)
        self._static = self._host_line + self._proxy_line + _lines(fixed.items())
        self._version = -1
        self._with_key = self._static

    def of(self, request: OutboundRequest, elsewhere: Address | None = None) -> bytes:
        """Return the head of ``request``; ``elsewhere`` in place of base URL and path.

        Raises:
            ProtocolBrokenError: a value holds a line break.
        """
        given = self._given(request)
        lines = _lines(given.items())
        if lines.count("\n") != len(given) or lines.count("\r") != len(given):
            raise ProtocolBrokenError("a header of the request holds a line break")
        static = self._static if self._credential is None else self._static_with_key()
        where = self._base_path + request.path
        if elsewhere is not None:
            where = elsewhere.path or "/"
            static = static.replace(self._host_line, f"host: {elsewhere.authority}\r\n", 1)
        if self._is_absolute:
            where = (self._origin if elsewhere is None else _origin(elsewhere)) + where
        if request.body is not None:
            lines += f"content-length: {len(request.body)}\r\n"
        elif request.method not in _BODILESS:
            lines += "content-length: 0\r\n"
        if request.needs_fresh_connection:
            lines += _LAST
        return _encoded(request.method, where, static + lines)

    def of_passed(self, request: PassedRequest) -> bytes:
        """Return the head of a request that is passed on; raises as ``of``."""
        key = None if self._credential is None else self._credential.value()
        body, length = request.body, request.length
        headers = outgoing(request.headers, self._kind, key=key, length=length)
        if isinstance(body, bytes) and length is None:
            headers.append(("content-length", str(len(body))))
        elif body is None and length is None and request.method not in _BODILESS:
            headers.append(("content-length", "0"))
        elif body is not None and length is None:
            headers.append(("transfer-encoding", "chunked"))
        lines = _lines(headers)
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise ProtocolBrokenError("a header of the request holds a line break")
        if request.needs_fresh_connection:
            lines += _LAST
        where = below(self._base_path, request.path)
        if self._is_absolute:
            where = self._origin + where
        return _encoded(request.method, where, self._host_line + self._proxy_line + lines)

    def _given(self, request: OutboundRequest) -> dict[str, str]:
        """Return the headers that differ from request to request, or may."""
        given = dict(self._changing if request.body is None else self._with_body)
        passes = self._passes
        for name, text in request.headers:
            lowered = name.lower()
            if lowered in passes:
                given[lowered] = text
        if self._signer is not None:
            url = self._origin + self._base_path + request.path
            body = request.body or b""
            given |= self._signer.sign(request.method, url, given, body, clock.wall())
        return given

    def _static_with_key(self) -> str:
        credential = self._credential
        assert credential is not None, "a provider without a key"
        version = credential.version
        if version != self._version:
            kind = self._kind
            line = f"{kind.auth_header}: {kind.auth_prefix}{credential.value()}\r\n"
            self._version, self._with_key = version, self._static + line
        return self._with_key


def _origin(address: Address) -> str:
    return f"{address.scheme}://{address.authority}"


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    return "".join([f"{name}: {text}\r\n" for name, text in headers])


def _encoded(method: str, where: str, lines: str) -> bytes:
    start = f"{method} {where}"
    if "\n" in start or "\r" in start:
        raise ProtocolBrokenError("the path of the request holds a line break")
    return f"{start} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape")
