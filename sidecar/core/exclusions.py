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
