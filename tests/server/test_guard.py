"""Who may drive a plane."""

from __future__ import annotations

import pytest

from sidecar.errors import ForbiddenError, UnauthorizedError
from sidecar.server.guard import Guard, GuardSettings


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:4180", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:9"],
)
def test_loopback_names_pass(host: str) -> None:
    """Callers on this machine pass by any loopback name and port."""
    Guard(GuardSettings()).check({"host": host})


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:4180",
        "evil.example:localhost",
        "localhost:4180@evil.example",
        "[::1",
        "::1",
        "0.0.0.0:4180",
    ],
)
def test_foreign_hosts_are_refused(host: str) -> None:
    """A rebound name must not reach the plane, nor a name that merely contains ours."""
    with pytest.raises(ForbiddenError):
        Guard(GuardSettings()).check({"host": host})


def test_configured_names_pass() -> None:
    """A pod-local alias can be allowed by configuration."""
    Guard(GuardSettings(host_names=("sidecar",))).check({"host": "sidecar:4180"})


def test_remote_planes_take_any_host() -> None:
    """A plane bound elsewhere cannot know its names."""
    Guard(GuardSettings(allow_remote=True)).check({"host": "10.1.2.3:4180"})


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1"])
def test_local_pages_pass(origin: str) -> None:
    """A page served from this machine may call."""
    Guard(GuardSettings()).check({"host": "localhost", "origin": origin})


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", "localhost", "http://localhost.evil"]
)
@pytest.mark.parametrize("allow_remote", [False, True])
def test_foreign_pages_are_refused(origin: str, allow_remote: bool) -> None:
    """No page of another origin drives the sidecar, remote plane or not."""
    with pytest.raises(ForbiddenError):
        Guard(GuardSettings(allow_remote=allow_remote)).check(
            {"host": "localhost", "origin": origin}
        )


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer s3cret"},
        {"authorization": "bearer s3cret"},
        {"x-api-key": "s3cret"},
    ],
)
def test_the_token_passes_where_sdks_put_keys(headers: dict[str, str]) -> None:
    """Both SDKs' key fields carry the token."""
    Guard(GuardSettings(allow_remote=True, token=b"s3cret")).check(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer s3cre"},
        {"authorization": "Basic s3cret"},
        {"authorization": "Bearer \udcff"},
        {"x-api-key": ""},
    ],
)
def test_without_the_token_nobody_passes(headers: dict[str, str]) -> None:
    """A missing, wrong or undecodable token is a 401 that does not echo it."""
    with pytest.raises(UnauthorizedError) as raised:
        Guard(GuardSettings(allow_remote=True, token=b"s3cret")).check(headers)
    assert "s3cre" not in raised.value.message


def test_the_token_is_not_shown() -> None:
    """Logging the settings must not log the token."""
    assert "s3cret" not in repr(GuardSettings(token=b"s3cret"))
