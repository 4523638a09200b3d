"""Predictions: an answer that takes several requests, behind the port as if it were one.

One request creates the prediction and returns at once. A stream is then read at the address that
the prediction names, where it names one; without, and for whole answers, it is asked for again and
again until it is over. ``Prefer: wait`` would save the asking, but would hold back the prediction's
id: whoever hangs up then could cancel nothing, and pays for an answer that nobody reads. For the
same reason a creation that has left is never cut off: abandoned, it goes on until its id is known,
to cancel that. Cancelling is done by tasks of their own, since those who hang up do not wait.

Follow-up requests go to the configured address by the prediction's id; of the addresses in the
answer only the stream's is used, and only within the provider's own domain: the key goes nowhere
else.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from sidecar.errors import ProtocolBrokenError, WireError
from sidecar.upstream.address import parse_address
from sidecar.wire.replicate import as_events, read_prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from sidecar.engine.ports import OutboundRequest, UpstreamResponse
    from sidecar.upstream.address import Address
    from sidecar.wire.replicate import Prediction

POLL_S: Final = (0.1, 0.2, 0.4, 0.8)
"""How long to wait before asking again; the last one is repeated."""
LAST_WORDS_S: Final = 5.0
"""How long an abandoned creation and a cancellation may take."""
CLOSE_S: Final = 1.0
"""How long the end of the program waits for cancellations."""
_BODY_BYTES_MAX: Final = 32 * 1024 * 1024
_DONE: Final = b"event: done"
_OK_STATUSES: Final = range(200, 300)


class Send(Protocol):
    """Sends one request to the provider; ``url`` in place of base URL and path."""

    async def __call__(
        self, request: OutboundRequest, *, connect_s: float, url: Address | None = None
    ) -> UpstreamResponse:
        """Return once the head is in; raises as the port says."""


@dataclass(slots=True, kw_only=True)
class _Whole:
    """An answer that is here already (see ``UpstreamResponse``)."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    async def read(self) -> bytes:
        """Return all of it, then nothing."""
        return self.take()

    def take(self) -> bytes:
        """Return all of it, then nothing."""
        body, self.body = self.body, b""
        return body

    def watch(self, wake: Callable[[], None] | None) -> None:
        """Nothing comes later."""

    def close(self) -> None:
        """There is nothing to close."""


class _Stream:
    """A prediction's stream; left before its end, the prediction is cancelled."""

    def __init__(
        self, response: UpstreamResponse, headers: Mapping[str, str], leave: Callable[[], None]
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {**headers, **response.headers}
        self._response = response
        self._leave = leave
        self._tail = b""
        self._is_over = False

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at a proper end; raises as the port says."""
        return self._noted(await self._response.read())

    def take(self) -> bytes | None:
        """As ``read`` without waiting."""
        data = self._response.take()
        return None if data is None else self._noted(data)

    def watch(self, wake: Callable[[], None] | None) -> None:
        """See the port."""
        self._response.watch(wake)

    def _noted(self, data: bytes) -> bytes:
        seen = self._tail + data
        self._is_over = self._is_over or _DONE in seen
        self._tail = seen[1 - len(_DONE) :]
        return data

    def close(self) -> None:
        """Close the connection, and cancel what still runs."""
        self._response.close()
        if not self._is_over:
            self._is_over = True
            self._leave()


class Predictions:
    """Owns the tasks that outlive their callers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[_Whole]] = set()

    async def open(
        self, send: Send, request: OutboundRequest, *, connect_s: float, base: Address, domain: str
    ) -> UpstreamResponse:
        """Create the prediction of ``request``, and return its answer or its stream.

        Args:
            send: sends the requests that it takes.
            request: creates the prediction.
            connect_s: limit of connecting, of each request.
            base: where the provider is.
            domain: under which hosts its streams may be, beside the base's own.

        Raises:
            AttemptError: as the port says, of whichever request failed.
        """
        creating = self._start(_whole(send, request, connect_s))
        try:
            created = await asyncio.shield(creating)
        except asyncio.CancelledError:
            creating.add_done_callback(lambda task: self._regret(task, send, request))
            raise
        if created.status not in _OK_STATUSES:
            return created
        prediction = _read(created.body)
        leave = _Leave(self, send, request, prediction.id)
        is_stream = ("accept", "text/event-stream") in request.headers
        try:
            url = _stream_url(prediction, base, domain) if is_stream else None
            if url is not None and not prediction.is_over():
                asking = replace(request, method="GET", body=None)
                response = await send(asking, connect_s=connect_s, url=url)
                if response.status in _OK_STATUSES:
                    return _Stream(response, created.headers, leave)
                response.close()
            over = await _poll(send, request, created, prediction, connect_s)
        except BaseException:
            leave()
            raise
        if over.status not in _OK_STATUSES:
            leave()
        elif is_stream:
            over.body = as_events(over.body)
        return over

    def cancel(self, send: Send, request: OutboundRequest, prediction: str) -> None:
        """Tell the provider that nobody wants ``prediction`` any more; does not wait."""
        path = f"{_path(prediction)}/cancel"
        telling = replace(request, path=path, body=None, needs_fresh_connection=False)
        self._start(_within(_whole(send, telling, LAST_WORDS_S))).add_done_callback(_forget)

    async def aclose(self) -> None:
        """Let the last words be said, within a limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._tasks:  # an abandoned creation starts a cancellation
                    await asyncio.wait(tuple(self._tasks))
        for task in tuple(self._tasks):
            task.cancel()
            task.add_done_callback(_forget)

    def _start(self, work: Coroutine[object, object, _Whole]) -> asyncio.Task[_Whole]:
        # Owned here and ended in `aclose`; no caller's task group may end it with the caller.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _regret(self, created: asyncio.Task[_Whole], send: Send, request: OutboundRequest) -> None:
        """Cancel what was created for somebody who has left."""
        if created.cancelled() or created.exception() is not None:
            return
        answer = created.result()
        if answer.status in _OK_STATUSES:
            try:
                self.cancel(send, request, read_prediction(answer.body).id)
            except WireError:
                return


@dataclass(frozen=True, slots=True)
class _Leave:
    """What to call when a prediction is left before its end."""

    predictions: Predictions
    send: Send
    request: OutboundRequest
    prediction: str

    def __call__(self) -> None:
        self.predictions.cancel(self.send, self.request, self.prediction)


async def _poll(
    send: Send,
    request: OutboundRequest,
    answer: _Whole,
    prediction: Prediction,
    connect_s: float,
) -> _Whole:
    """Ask until the prediction is over; return the last answer."""
    asking = replace(request, method="GET", body=None, path=_path(prediction.id))
    tries = 0
    while not prediction.is_over():
        await asyncio.sleep(POLL_S[min(tries, len(POLL_S) - 1)])
        tries += 1
        answer = await _whole(send, asking, connect_s)
        if answer.status not in _OK_STATUSES:
            return answer
        prediction = _read(answer.body)
    answer.status = 200
    return answer


async def _whole(send: Send, request: OutboundRequest, connect_s: float) -> _Whole:
    """Return the whole answer to one request."""
    response = await send(request, connect_s=connect_s)
    try:
        body = bytearray()
        while chunk := await response.read():
            body += chunk
            if len(body) > _BODY_BYTES_MAX:
                raise ProtocolBrokenError(f"a prediction exceeds {_BODY_BYTES_MAX} bytes")
    finally:
        response.close()
    return _Whole(status=response.status, headers=response.headers, body=bytes(body))


async def _within(work: Coroutine[object, object, _Whole]) -> _Whole:
    async with asyncio.timeout(LAST_WORDS_S):
        return await work


def _forget(task: asyncio.Task[_Whole]) -> None:
    """A cancellation that failed is nobody's error: the prediction ends by itself in the end."""
    if not task.cancelled():
        task.exception()


def _read(body: bytes) -> Prediction:
    try:
        return read_prediction(body)
    except WireError as error:
        raise ProtocolBrokenError(f"not a prediction: {error.message}") from error


def _path(prediction: str) -> str:
    return f"/v1/predictions/{quote(prediction, safe='')}"


def _stream_url(prediction: Prediction, base: Address, domain: str) -> Address | None:
    """Return where the stream is, None if there is none or it is not the provider's."""
    try:
        url = parse_address(prediction.urls.stream or "")
    except ValueError:
        return None
    is_own = url.host == base.host and url.port == base.port
    is_own = is_own or bool(domain and url.host.endswith(f".{domain}"))
    return url if is_own and url.scheme == base.scheme else None
