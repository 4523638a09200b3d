"""Who keeps what a call refers to, so that it is asked and nobody else.

A provider of OpenAI Responses may keep an answer, and later calls name it, or its parts, instead of
sending them again (``previous_response_id``, ``item_reference``). Another provider knows nothing of
them: such a call is pinned to the endpoint that gave the answer, without failover. Which one that
was is learned from the answers that pass by; ids, never contents, in a bounded memory that ends
with the process. What was translated is kept by nobody, which is said rather than tried.

An id that is not known (of another pod, or before a restart) goes to the only account of the route
that could keep it; where there are several, guessing would be a lottery, so the call is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.domain import WireFormat
from sidecar.errors import BadRequestError
from sidecar.wire.responses_items import response_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sidecar.catalogue import Catalogue
    from sidecar.domain import Call, Endpoint, EndpointId

IDS_MAX = 8192
"""About 2 MiB at most; the oldest are forgotten first."""


class Keepers:
    """Owns the ids seen and who keeps each, None for nobody; least recently used first."""

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        self._ids_max = ids_max
        self._keepers: OrderedDict[str, EndpointId | None] = OrderedDict()

    def learn(
        self,
        call: Call,
        answer_id: str | None,
        item_ids: tuple[str, ...],
        keeper: EndpointId | None,
    ) -> None:
        """Note who keeps an answer that ``call`` got, if its format has references at all."""
        if call.format is not WireFormat.OPENAI_RESPONSES or not answer_id:
            return
        for name in (response_id(answer_id), *(item_ids if keeper is not None else ())):
            self._keepers[name] = keeper
            self._keepers.move_to_end(name)
        while len(self._keepers) > self._ids_max:
            self._keepers.popitem(last=False)

    def forget(self, gone: Collection[EndpointId]) -> None:
        """Forget what was kept by endpoints that are no more, or are others by now."""
        if gone:
            stale = [name for name, keeper in self._keepers.items() if keeper in gone]
            for name in stale:
                del self._keepers[name]

    def pinned(self, call: Call, catalogue: Catalogue) -> Call:
        """Return ``call`` with its route narrowed to the endpoint that keeps what it refers to.

        Raises:
            BadRequestError: nobody does, it is not of the route, or nobody knows who it is.
        """
        references = call.facts.references
        if not references:
            return call
        endpoints = catalogue.endpoints
        able = [
            name
            for name in call.route.endpoints()
            if endpoints[name].format_for(call.format) is call.format
        ]
        chosen: EndpointId | None = None
        for path, name in references:
            if name not in self._keepers:
                continue
            found = self._find(path, name, able, endpoints)
            if chosen not in {None, found}:
                message = f"{name!r} and what stands before it are kept by different endpoints"
                raise BadRequestError(message, path=path)
            chosen = found
        chosen = chosen or _only(references[0], able, endpoints)
        return replace(call, route=replace(call.route, tiers=((chosen,),)))

    def _find(
        self,
        path: str,
        name: str,
        able: list[EndpointId],
        endpoints: Mapping[EndpointId, Endpoint],
    ) -> EndpointId:
        """Return the endpoint that keeps ``name``, or the best one of the same account."""
        self._keepers.move_to_end(name)
        keeper = self._keepers[name]
        if keeper is None:
            message = f"nobody keeps {name!r}: send what was said before in the input instead"
            raise BadRequestError(message, path=path)
        if keeper in able:
            return keeper
        account = endpoints[keeper].provider if keeper in endpoints else None
        found = next((one for one in able if endpoints[one].provider == account), None)
        if found is None:
            message = f"{name!r} is kept by {keeper}, which cannot be asked by this route"
            raise BadRequestError(message, path=path)
        return found


def _only(
    reference: tuple[str, str], able: list[EndpointId], endpoints: Mapping[EndpointId, Endpoint]
) -> EndpointId:
    """Return the best endpoint of the only account that could keep what is not known here."""
    path, name = reference
    accounts = {endpoints[one].provider for one in able}
    if len(accounts) == 1:
        return able[0]
    who = "no endpoint" if not accounts else f"one of {len(accounts)} accounts"
    message = f"{who} of the route could keep {name!r}, and it was not given by this process"
    raise BadRequestError(message, path=path)
