"""The fault catalogue: every row in order of its number."""

from __future__ import annotations

from sidecar.simulate.faults.rows_of_callers import ROWS_OF_CALLERS
from sidecar.simulate.faults.rows_of_fleets import ROWS_OF_FLEETS
from sidecar.simulate.faults.rows_of_providers import ROWS_OF_PROVIDERS
from sidecar.simulate.faults.rows_of_streams import ROWS_OF_STREAMS

ROWS = (*ROWS_OF_PROVIDERS, *ROWS_OF_STREAMS, *ROWS_OF_FLEETS, *ROWS_OF_CALLERS)
BY_NUMBER = {row.number: row for row in ROWS}
