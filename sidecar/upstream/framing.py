"""What httptools leaves open about an answer: how much of a head is too much, and whose end it has.

Leniency is what browsers and servers of all ages need (line feeds alone, odd characters in values,
spaces behind a chunk's size); where lengths contradict each other nothing is lenient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from httptools import HttpResponseParser

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERHEAD_BYTES_MAX: Final = 65_536
"""Of a head, and between two pieces of a body."""
HEADERS_MAX: Final = 256


class RefusedError(Exception):
    """Raised within the parser, to stop it."""


def response_parser(protocol: object) -> HttpResponseParser:
    """Return a parser of answers that tells ``protocol``."""
    parser = HttpResponseParser(protocol)
    parser.set_dangerous_leniencies(
        lenient_headers=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
    )
    return parser


def joined(before: str, text: str) -> str:
    """Return a repeated header's value.

    Raises:
        RefusedError: it gets too long.
    """
    if len(before) + len(text) > OVERHEAD_BYTES_MAX:
        raise RefusedError
    return f"{before}, {text}"


def check_size(headers: Mapping[str, str]) -> None:
    """Look at a head that may be too large; the packet that ended it may hold a body too.

    Raises:
        RefusedError: it is.
    """
    size = sum(len(name) + len(text) for name, text in headers.items())
    if size > OVERHEAD_BYTES_MAX or len(headers) > HEADERS_MAX:
        raise RefusedError


def is_framed_by_end(headers: Mapping[str, str]) -> bool:
    """Say whether a body has no other end than its connection's."""
    encoding = headers.get("transfer-encoding")
    if encoding is None:
        return "content-length" not in headers
    return "chunked" not in encoding.lower()
