"""Undo a content encoding that was not asked for.

We ask for ``identity``, since a compressed stream delays its events and small answers do not gain.
Some gateways compress all the same. gzip and deflate are undone piece by piece, each piece bounded,
so that a few bytes cannot become gigabytes at once; the engine bounds the sum.
"""

from __future__ import annotations

import zlib
from typing import Final

from sidecar.errors import ConnectionBrokenError, ProtocolBrokenError

PIECE_BYTES_MAX: Final = 262_144

_ZLIB_OR_GZIP: Final = zlib.MAX_WBITS | 32
_KNOWN: Final = frozenset({"gzip", "x-gzip", "deflate"})


class Inflater:
    """Turns the bytes of a gzip or deflate body into those of the answer.

    Raises:
        ProtocolBrokenError: the encoding is another one.
    """

    __slots__ = ("_decoder", "_pending")

    def __init__(self, encoding: str) -> None:
        if encoding not in _KNOWN:
            raise ProtocolBrokenError(f"content-encoding {encoding[:40]!r} was not asked for")
        self._decoder = zlib.decompressobj(_ZLIB_OR_GZIP)
        self._pending = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the wire (or none) and return the next piece, ``b""`` if it needs more.

        Raises:
            ProtocolBrokenError: the bytes are not of this encoding.
        """
        if self._decoder.eof and (data or self._pending):
            self._decoder = zlib.decompressobj(_ZLIB_OR_GZIP)  # gzip members may follow each other
        try:
            piece = self._decoder.decompress(self._pending + data, PIECE_BYTES_MAX)
        except zlib.error as error:
            raise ProtocolBrokenError("the compressed body is damaged") from error
        self._pending = self._decoder.unconsumed_tail or self._decoder.unused_data
        return piece

    @property
    def has_pending(self) -> bool:
        """Whether ``feed(b"")`` has more to give."""
        return bool(self._pending)

    def finish(self) -> None:
        """Check that the body was complete.

        Raises:
            ConnectionBrokenError: it ended early.
        """
        if not self._decoder.eof:
            raise ConnectionBrokenError("the compressed body ended early")
