"""What goes by settings that may be replaced while it lives: what it has learned stays.

A reload of the configuration brings new thresholds to what is already there. Each class reads its
settings when it decides, so replacing them is enough; what they shaped at the beginning (the length
of a window, a first value) stays as it was made.
"""

from __future__ import annotations

from typing import Generic, TypeVar

S = TypeVar("S")


class Tunable(Generic[S]):
    """Goes by ``_settings``, and by others when told so."""

    _settings: S

    def adapt(self, settings: S) -> None:
        """Go by ``settings`` from now on."""
        self._settings = settings
