"""Whom a failed call must not ask again, by what its attempts came to.

Nobody twice, unless nobody else is left (``in_vain``). After a refused credential (rate, quota,
authentication) no endpoint of the same account, since they share the limit that was hit; after a
failed connect none of the same host, since they share what is broken. Both at once even where the
gates do not know it yet: one failure trips no breaker, but this call need not be the second. After
a prompt that was too long nobody who is known to have no more room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.outcome import Next, effects
from sidecar.domain import Gate, OutcomeClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sidecar.core.attempts import AttemptRecord
    from sidecar.core.routing import EndpointView
    from sidecar.domain import Endpoint, EndpointId

_LIMIT_STATUSES = (413, 429)
NOT_HERE = frozenset({OutcomeClass.CONTEXT, OutcomeClass.UNFIT})
"""Refusals that are the caller's fault if everybody who could be asked agrees."""
_NOT_WORTH_REPEATING = NOT_HERE | {OutcomeClass.AUTH, OutcomeClass.QUOTA, OutcomeClass.GONE}
"""The same credential, model and prompt will be refused again in a second."""


def exclusions(
    records: Sequence[AttemptRecord], endpoints: Iterable[Endpoint]
) -> Mapping[EndpointId, Gate]:
    """Return which of ``endpoints`` must not be asked (again), and why."""
    tried = {record.endpoint.id for record in records}
    hosts = set()
    providers = set()
    for record in records:
        match effects(record.outcome.cls, status=record.outcome.status).next:
            case Next.OTHER_HOST:
                hosts.add(record.endpoint.host)
            case Next.OTHER_ACCOUNT:
                providers.add(record.endpoint.provider)
            case _:
                pass
    room = _room_missed(records)
    found: dict[EndpointId, Gate] = {}
    for endpoint in endpoints:
        size = endpoint.context_tokens
        reasons = (
            (Gate.TRIED, endpoint.id in tried),
            (Gate.SAME_ACCOUNT, endpoint.provider in providers),
            (Gate.SAME_HOST, endpoint.host in hosts),
            (Gate.CONTEXT_TOO_SMALL, size is not None and size <= room),
        )
        gate = next((gate for gate, is_so in reasons if is_so), None)
        if gate is not None:
            found[endpoint.id] = gate
    return found


def in_vain(
    records: Sequence[AttemptRecord], may_retry: Callable[[EndpointId], bool]
) -> Mapping[EndpointId, Gate]:
    """Return whom of those that were asked it makes no sense to ask again, even after a wait."""
    return {
        record.endpoint.id: Gate.TRIED
        for record in records
        if record.outcome.cls in _NOT_WORTH_REPEATING or not may_retry(record.endpoint.id)
    }


def _room_missed(records: Sequence[AttemptRecord]) -> int:
    """Return the largest context that this prompt did not fit into, 0 where none is known.

    A token limit of the account (413, 429) says nothing of the model's context.
    """
    sizes = (
        record.endpoint.context_tokens or 0
        for record in records
        if record.outcome.cls is OutcomeClass.CONTEXT
        and record.outcome.status not in _LIMIT_STATUSES
    )
    return max(sizes, default=0)


def independent_first(
    ranked: Sequence[EndpointView], records: Sequence[AttemptRecord]
) -> tuple[EndpointView, ...]:
    """Return ``ranked`` with those last that share the fate of an endpoint whose host failed.

    A shared host, account or upstream (an aggregator's source) is one failure domain: behind a
    fault of the whole host they are no independent fallbacks, whatever their tier.
    """
    failed = [
        record.endpoint
        for record in records
        if effects(record.outcome.cls, status=record.outcome.status).host_fail
    ]
    return tuple(sorted(ranked, key=lambda view: any(_kin(view.endpoint, one) for one in failed)))


def _kin(one: Endpoint, other: Endpoint) -> bool:
    is_same_upstream = one.upstream is not None and one.upstream == other.upstream
    return is_same_upstream or one.host == other.host or one.provider == other.provider
