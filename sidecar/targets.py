"""From a configured provider to where it is and how to enter: its keys, watched or given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.upstream.credentials import Credential
from sidecar.upstream.http import ProviderTarget
from sidecar.upstream.kinds import KINDS
from sidecar.upstream.signing import AwsSigner

if TYPE_CHECKING:
    from sidecar.config.model import AwsKeys, KeyReference, Target


def target_of(target: Target, kept: ProviderTarget | None = None) -> ProviderTarget:
    """Return where ``target`` is and how to enter, maybe with the keys of before."""
    if kept is not None:
        credential, signer = kept.credential, kept.signer
    else:
        credential = None if target.api_key is None else credential_of(target.api_key)
        signer = None if target.aws is None else _signer(target.aws)
    return ProviderTarget(
        name=target.name,
        kind=KINDS[target.kind],
        base_url=target.base_url,
        credential=credential,
        verify_tls=target.verify_tls,
        signer=signer,
    )


def _signer(keys: AwsKeys) -> AwsSigner:
    token = keys.session_token
    return AwsSigner(
        access_key_id=credential_of(keys.access_key_id),
        secret_access_key=credential_of(keys.secret_access_key),
        session_token=None if token is None else credential_of(token),
        region=keys.region,
    )


def credential_of(reference: KeyReference) -> Credential:
    """Return the secret that ``reference`` names, read on use."""
    return Credential(env=reference.env, file=reference.file)
