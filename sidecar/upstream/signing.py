"""Requests signed for AWS (Signature Version 4), for those without a Bedrock API key.

The signature is botocore's: Amazon keeps it, and it is the extra ``bedrock``, imported when a
provider is built that needs it (60 ms, 5 MiB in a sidecar). Nothing else of it is used: no
sessions, no metadata service, no configuration files; keys come like all others, from the
environment or from files that are read again when they change. A rotation that has written one
file of two makes a wrong signature; the account is blocked then until the keys change once more,
which the second file does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from sidecar.errors import ConfigError
from sidecar.upstream.kinds_native import SIGNING_PACKAGE, can_sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.upstream.credentials import Credential

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_SIGNED: Final = frozenset({"content-type"})
"""Beside host and date; all else a proxy may change on the way."""


class Signer(Protocol):
    """What a kind without a plain key header needs at the moment of sending."""

    @property
    def version(self) -> int:
        """A number that grows whenever a credential has changed."""

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be seen in a message."""

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, wall_now: float
    ) -> dict[str, str]:
        """Return the headers to add, names in lower case; ``url`` is exactly what is asked for."""


class AwsSigner:
    """Signs for one service in one region.

    Raises:
        ConfigError: the package that signs is not installed.
    """

    def __init__(
        self,
        *,
        access_key_id: Credential,
        secret_access_key: Credential,
        session_token: Credential | None,
        region: str,
        service: str = "bedrock",
    ) -> None:
        if not can_sign():
            raise ConfigError(
                (f"AWS keys need the package {SIGNING_PACKAGE}: install the extra bedrock",)
            )
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._session_token = session_token
        self._region = region
        self._service = service

    @property
    def version(self) -> int:
        """A number that grows whenever one of the keys has changed; under a running loop."""
        return sum(credential.version for credential in self._credentials())

    def secrets(self) -> tuple[str, ...]:
        """Return secret key and session token; under a running loop."""
        return tuple(credential.value() for credential in self._credentials()[1:])

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, wall_now: float
    ) -> dict[str, str]:
        """Return date, session token and signature."""
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - an extra, and memory
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415
        from botocore.credentials import Credentials  # noqa: PLC0415

        token = None if self._session_token is None else self._session_token.value()
        keys = Credentials(self._access_key_id.value(), self._secret_access_key.value(), token)
        stamp = datetime.fromtimestamp(wall_now, UTC).strftime(_STAMP)
        added = {"x-amz-date": stamp}
        if token is not None:
            added["x-amz-security-token"] = token
        signed = {name: value for name, value in headers.items() if name in _SIGNED}
        request = AWSRequest(method=method, url=url, headers={**signed, **added}, data=body)
        request.context["timestamp"] = stamp
        auth = SigV4Auth(keys, self._service, self._region)
        to_sign = auth.string_to_sign(request, auth.canonical_request(request))
        names = auth.signed_headers(auth.headers_to_sign(request))
        added["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
            f"SignedHeaders={names}, Signature={auth.signature(to_sign, request)}"
        )
        return added

    def _credentials(self) -> tuple[Credential, ...]:
        keys = (self._access_key_id, self._secret_access_key)
        return keys if self._session_token is None else (*keys, self._session_token)
