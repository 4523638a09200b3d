"""Undo a request body's content encoding, a bounded piece at a time.

gzip and deflate, which callers send unasked when their SDK or their proxy is told to compress. A
few bytes can stand for gigabytes, so each step gives one piece of bounded size; whoever reads
bounds the sum. Some call deflate what has no zlib frame (RFC 9110, 8.4.1.2, says otherwise): its
first byte tells.
"""

from __future__ import annotations

import zlib

from sidecar.errors import BadRequestError

PIECE_BYTES_MAX = 262_144
_REFUSED = frozenset({"br", "zstd"})
ENCODINGS = frozenset({"gzip", "deflate"}) | _REFUSED
"""What is known to be compressed. Two of them are refused, since nothing here undoes them."""

_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
_RAW = -zlib.MAX_WBITS
_DEFLATE_METHOD = 8
BROKEN = "the body's framing or encoding is broken"


class Inflater:
    """One body being undone; ``is_whole`` tells whether an end was seen."""

    __slots__ = ("_decoder", "_encoding", "_pending")

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder: zlib._Decompress | None = None
        self._pending = b""

    @property
    def is_whole(self) -> bool:
        """Whether all that was put in made complete sense; nothing at all does too."""
        return self._decoder is None or (self._decoder.eof and not self._pending)

    def next(self, data: bytes) -> bytes:
        """Take ``data`` (or nothing) and return the next piece, ``b""`` if more must come first.

        Raises:
            BadRequestError: the bytes are not of this encoding, or it is one of those refused.
        """
        if self._encoding in _REFUSED:
            raise BadRequestError(f"a body in content-encoding {self._encoding} is not read here")
        given = self._pending + data
        piece = b""
        while given and not piece:
            if self._decoder is None or self._decoder.eof:  # members may follow each other
                self._decoder = zlib.decompressobj(self._window_bits(given))
            try:
                piece = self._decoder.decompress(given, PIECE_BYTES_MAX)
            except zlib.error as error:
                raise BadRequestError(BROKEN) from error
            given = self._decoder.unconsumed_tail or self._decoder.unused_data
        self._pending = given
        return piece

    def _window_bits(self, data: bytes) -> int:
        is_raw = self._encoding == "deflate" and data[0] & 0xF != _DEFLATE_METHOD
        return _RAW if is_raw else _ZLIB_OR_GZIP
