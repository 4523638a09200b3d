"""How much the ledger remembers, and where."""

from __future__ import annotations

from sidecar.value import value


@value
class LedgerSettings:
    """``path`` None: memory alone, which ends with the process.

    ``keep_days``: older records and sums are removed from the file; a month, since bills are
    monthly. ``keep_mib``: the oldest records go first when the file holds more, so that a volume of
    half a GiB suffices; about 600,000 calls. ``memory_calls``: calls shown without a file or while
    it cannot be used, about a kilobyte each. ``keep_comments``: those of
    feedback, which may hold prompts.
    """

    path: str | None = None
    keep_days: int = 30
    keep_mib: int = 256
    memory_calls: int = 10_000
    keep_comments: bool = False
