"""An endpoint in good health, as the decisions see it: what their tests start from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.core.routing import EndpointView

if TYPE_CHECKING:
    from sidecar.domain import Endpoint


def healthy_view(endpoint: Endpoint, **changes: object) -> EndpointView:
    """Return a healthy view of ``endpoint``, but for ``changes``."""
    healthy = EndpointView(
        endpoint=endpoint,
        gate=None,
        opens_at=None,
        ttft_s=1.0,
        itl_s=0.02,
        total_s=3.0,
        typical_ttft_s=1.0,
        reliability=0.98,
        availability=0.98,
        penalty_s=0.0,
        slow_start=1.0,
        utilisation=0.0,
        is_sluggish=False,
        is_suspect=False,
        cost_usd=0.001,
        output_tokens=100.0,
    )
    return replace(healthy, **changes)  # type: ignore[arg-type]  # each test names real fields
