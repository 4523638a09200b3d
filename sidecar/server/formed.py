"""A stream on its way to a caller who gets it in another form than the engine sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.engine.answer import Sink


class FormedSink:
    """A ``Sink`` in front of another; ``form`` says what becomes of a chunk, maybe nothing."""

    __slots__ = ("_behind", "_form")

    def __init__(self, behind: Sink, form: Callable[[bytes], bytes]) -> None:
        self._behind = behind
        self._form = form

    def push(self, chunk: bytes) -> bool:
        """Pass on what it becomes."""
        formed = self._form(chunk)
        return self._behind.push(formed) if formed else True

    async def room(self) -> None:
        """As behind."""
        await self._behind.room()
