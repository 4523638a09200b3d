"""`sidecar schema`: print the JSON Schema of the configuration, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sidecar.config.json_schema import json_schema

if TYPE_CHECKING:
    import argparse


def run(_args: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(json_schema(), indent=2))
    return 0
