"""From one checked entry of the file to its value."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sidecar.config.model import Address, AwsKeys, KeyReference, Target
from sidecar.config.texts import split_address
from sidecar.domain import Capacity, HostName, ProviderName, Quality, RouteName
from sidecar.upstream.kinds import KINDS

if TYPE_CHECKING:
    from sidecar.config.schema import ProviderEntry, SecretEntry

PORTS = {"http": 80, "https": 443}


def target_of(name: ProviderName, entry: ProviderEntry) -> Target:
    """Return one provider; its kind is known and has a base URL if the entry has none."""
    return Target(
        name=name,
        kind=entry.kind,
        base_url=entry.base_url or KINDS[entry.kind].base_url_in(entry.region) or "",
        api_key=key_reference(entry.api_key),
        requests_per_minute=entry.limits.rpm,
        tokens_per_minute=entry.limits.tpm,
        capacity=_capacity(entry),
        verify_tls=entry.verify_tls,
        aws=_aws_keys(entry),
        hears_trace=entry.trace_context,
    )


def _capacity(entry: ProviderEntry) -> Capacity:
    """Return the capacity given, else the kind's: our own load slows a server of our own."""
    if entry.capacity is not None:
        return Capacity(entry.capacity)
    return Capacity.DEDICATED if KINDS[entry.kind].is_local else Capacity.SHARED


def _aws_keys(entry: ProviderEntry) -> AwsKeys | None:
    """Return what requests are signed with, if they are."""
    access, secret = key_reference(entry.access_key_id), key_reference(entry.secret_access_key)
    if access is None or secret is None or entry.region is None:
        return None
    return AwsKeys(
        access_key_id=access,
        secret_access_key=secret,
        session_token=key_reference(entry.session_token),
        region=entry.region,
    )


def key_reference(entry: SecretEntry | None) -> KeyReference | None:
    """Return where a secret is."""
    return None if entry is None else KeyReference(env=entry.env, file=entry.file)


def address_of(text: str) -> Address:
    """Return host and port of a checked address."""
    host, port = split_address(text)
    return Address(host=host, port=int(port))


def host_of(base_url: str) -> HostName:
    """Return scheme, host and port of a checked URL."""
    url = urlsplit(base_url)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return HostName(f"{url.scheme}://{host}:{url.port or PORTS[url.scheme]}")


def quality_of(given: float | dict[str, float]) -> Quality:
    """Return a quality given as one number or by route."""
    if not isinstance(given, dict):
        return Quality(default=given)
    by_route = {RouteName(name): value for name, value in given.items() if name != "default"}
    return Quality(default=given.get("default", Quality().default), by_route=by_route)
