"""Signature Version 4: AWS's published example, botocore's own way, and what goes over the wire."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sidecar.domain import OutcomeClass
from sidecar.errors import ConfigError
from sidecar.upstream import kinds_native
from sidecar.upstream.credentials import Credential
from sidecar.upstream.signing import AwsSigner
from tests.upstream.conftest import ENDPOINT, Peer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.upstream.conftest import MakeRequest, MakeUpstream

ACCESS, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "tok/en=="
NOON = 1_440_938_160.0  # 2015-08-30T12:36:00Z, the instant of AWS's test suite
URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/x.y-v1%3A0/converse"


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Write the three keys to files; return their paths."""
    paths = {name: tmp_path / name for name in ("access", "secret", "token")}
    for path, value in zip(paths.values(), (ACCESS, SECRET, TOKEN), strict=True):
        path.write_text(value + "\n")
    return paths


def signer(keys: dict[str, Path], *, has_token: bool = True, service: str = "bedrock") -> AwsSigner:
    """Return a signer with the keys in ``keys``."""
    return AwsSigner(
        access_key_id=Credential(file=str(keys["access"])),
        secret_access_key=Credential(file=str(keys["secret"])),
        session_token=Credential(file=str(keys["token"])) if has_token else None,
        region="us-east-1",
        service=service,
    )


async def test_the_published_vector(keys: dict[str, Path]) -> None:
    """The example "post-vanilla" of AWS's Signature Version 4 test suite, signature and all."""
    one = signer(keys, has_token=False, service="service")
    added = one.sign("POST", "https://example.amazonaws.com/", {}, b"", NOON)
    assert added == {
        "x-amz-date": "20150830T123600Z",
        "authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, Signature="
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        ),
    }


async def test_as_botocore_would(keys: dict[str, Path]) -> None:
    """With a session token, an escaped path and a body, we send what botocore itself would."""
    body = '{"messages":["é"]}'.encode()
    headers = {"content-type": "application/json"}
    added = signer(keys).sign("POST", URL, headers, body, NOON)
    request = AWSRequest(method="POST", url=URL, headers=dict(headers), data=body)
    then = dt.datetime.fromtimestamp(NOON, dt.UTC)
    with patch("botocore.auth.get_current_datetime", return_value=then):
        SigV4Auth(Credentials(ACCESS, SECRET, TOKEN), "bedrock", "us-east-1").add_auth(request)
    assert added == {
        name.lower(): value
        for name, value in request.headers.items()
        if name.lower() != "content-type"
    }


async def test_only_stable_headers_are_signed(keys: dict[str, Path]) -> None:
    """What a proxy may change or add on the way does not break a signature."""
    plain = signer(keys).sign("POST", URL, {"content-type": "a"}, b"{}", NOON)
    more = {"content-type": "a", "user-agent": "u", "traceparent": "t", "accept-encoding": "e"}
    assert signer(keys).sign("POST", URL, more, b"{}", NOON) == plain
    assert signer(keys).sign("POST", URL, {"content-type": "b"}, b"{}", NOON) != plain


async def test_rotated_keys_are_seen(
    keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewritten key file changes signature and version, without a restart."""
    now = 0.0
    monkeypatch.setattr("sidecar.upstream.credentials.clock.now", lambda: now)
    one = signer(keys)
    first, version = one.sign("POST", URL, {}, b"", NOON), one.version
    keys["secret"].write_text("another-secret-of-another-length")
    now = 2.0
    assert one.version == version + 1
    assert one.secrets() == ("another-secret-of-another-length", TOKEN)
    assert one.sign("POST", URL, {}, b"", NOON) != first


def test_without_the_package(keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives AWS keys without the extra is told its name."""
    monkeypatch.setattr(kinds_native, "SIGNING_PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match="extra bedrock"):
        signer(keys)


async def test_over_the_wire(
    keys: dict[str, Path],
    make_upstream: MakeUpstream,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bytes that leave are those that were signed: path, host, body; secrets stay masked."""
    monkeypatch.setattr("sidecar.clock.wall", lambda: NOON)
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        seen.append(await peer.request())
        await peer.answer()
        writer.close()

    server = await asyncio.start_server(script, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = make_upstream(port, kind="bedrock", signer=signer(keys))
    await upstream.start()
    try:
        path = "/model/us.x-v1%3A0/converse"
        response = await upstream.open(
            make_request(path=path, headers=(("accept", "text/event-stream"),)), connect_s=5
        )
        response.close()
        body = f"bad token {TOKEN} of {SECRET}".encode()
        fault = upstream.classify(ENDPOINT, 403, {}, body)
    finally:
        await upstream.aclose()
        server.close()
    ((first, headers, sent),) = seen
    assert first == f"POST {path} HTTP/1.1"
    assert headers["accept"] == "application/json, application/vnd.amazon.eventstream"
    found = re.search(r"SignedHeaders=([^,]*), Signature=", headers["authorization"])
    assert found is not None
    signed = {name: headers[name] for name in found[1].split(";")}
    assert {"host", "content-type", "x-amz-date", "x-amz-security-token"} <= signed.keys()
    url = f"http://127.0.0.1:{port}{path}"
    request = AWSRequest(method="POST", url=url, headers=signed, data=sent)
    then = dt.datetime.fromtimestamp(NOON, dt.UTC)
    with patch("botocore.auth.get_current_datetime", return_value=then):
        SigV4Auth(Credentials(ACCESS, SECRET, TOKEN), "bedrock", "us-east-1").add_auth(request)
    assert request.headers["authorization"] == headers["authorization"]
    assert fault.cls is OutcomeClass.AUTH
    assert TOKEN not in fault.message
    assert SECRET not in fault.message
