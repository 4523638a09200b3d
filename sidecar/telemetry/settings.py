"""What the configuration file says of telemetry; where it goes is said by the environment."""

from __future__ import annotations

from sidecar.value import value


@value
class TelemetrySettings:
    """What traces hold.

    * ``content`` False: prompts and answers never leave by telemetry unless somebody wants them to.
    * ``redact``: regular expressions of what is cut out of them, beside keys, addresses of mail and
      numbers of cards, which always are.
    * ``content_chars`` 8192 a message: back ends cut attributes anyway, and a pattern takes time.
    """

    content: bool = False
    redact: tuple[str, ...] = ()
    content_chars: int = 8192
