"""What the entries of the configuration file are made of: texts, shares, amounts with bounds."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.config.texts import NAME_PATTERN, SHARE_EXPECTED, SHARE_PATTERN

Name = Annotated[
    str,
    Meta(
        description="a name of letters, digits and . _ : -",
        extra={"as": "name"},
        extra_json_schema={"pattern": NAME_PATTERN},
    ),
]
Address = Annotated[
    str, Meta(description='an address such as "127.0.0.1:4180"', extra={"as": "address"})
]
Url = Annotated[
    str, Meta(description='a URL such as "https://api.example.com/v1"', extra={"as": "url"})
]
Text = Annotated[str, Meta(min_length=1)]
Share = Annotated[
    float,
    Meta(
        description=SHARE_EXPECTED,
        extra={"as": "share"},
        extra_json_schema={"type": ["number", "string"], "pattern": SHARE_PATTERN},
    ),
]
Fraction = Annotated[float, Meta(ge=0, le=1)]
UsdPerDay = Annotated[float, Meta(ge=0, le=1e9)]
UsdPerMillion = Annotated[float, Meta(ge=0, le=1e6)]
"""A dollar a token is no price."""
AttemptsMax = Annotated[int, Meta(ge=1, le=20)]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file."""
