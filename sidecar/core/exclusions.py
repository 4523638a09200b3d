"""Whom a failed call must not ask again, by what its attempts came to.

Nobody twice. After a refused credential (rate, quota, authentication) no endpoint of the same
account, since they share the limit that was hit; after a failed connect none of the same host,
since they share what is broken. Both at once even where the gates do not know it yet: one failure
trips no breaker, but this call need not be the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.outcome import Next, effects
from sidecar.domain import Gate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sidecar.core.attempts import AttemptRecord
    from sidecar.core.routing import EndpointView
    from sidecar.domain import Endpoint, EndpointId


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
    found: dict[EndpointId, Gate] = {}
    for endpoint in endpoints:
        if endpoint.id in tried:
            found[endpoint.id] = Gate.TRIED
        elif endpoint.provider in providers:
            found[endpoint.id] = Gate.SAME_ACCOUNT
        elif endpoint.host in hosts:
            found[endpoint.id] = Gate.SAME_HOST
    return found


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
