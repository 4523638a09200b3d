"""Names as types of their own, so that none is taken for another."""

from __future__ import annotations

from typing import NewType

ProviderName = NewType("ProviderName", str)
ModelName = NewType("ModelName", str)
RouteName = NewType("RouteName", str)
EndpointId = NewType("EndpointId", str)
HostName = NewType("HostName", str)
CallId = NewType("CallId", str)
