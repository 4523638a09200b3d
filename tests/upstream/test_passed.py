"""What of a request that is passed on is kept, removed and added."""

from __future__ import annotations

import pytest

from sidecar.upstream.kinds import KINDS
from sidecar.upstream.passed import below, incoming, outgoing

OPENAI, ANTHROPIC = KINDS["openai"], KINDS["anthropic"]


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("http://a/v1", "/files", "http://a/v1/files"),
        ("http://a/v1/", "/v1/files?x=1", "http://a/v1/files?x=1"),
        ("http://a/v1beta", "/v1beta/files", "http://a/v1beta/files"),
        ("http://a/v1", "/v1beta/files", "http://a/v1/v1beta/files"),
        ("http://a/v1", "/v10/files", "http://a/v1/v10/files"),
        ("http://a", "/v1/files", "http://a/v1/files"),
        ("http://a/openai", "/openai/files", "http://a/openai/openai/files"),
        ("http://a", "/", "http://a/"),
        ("http://a", "/x%2Fy?q=%20", "http://a/x%2Fy?q=%20"),
        ("http://a", "/x?key=secret", "http://a/x"),
        ("http://a", "/x?key=secret&y=1", "http://a/x?y=1"),
        ("http://a", "/x?y=1&api_key=s&z=2", "http://a/x?y=1&z=2"),
        ("http://a", "/x?monkey=1", "http://a/x?monkey=1"),
    ],
)
def test_where_a_path_leads(base_url: str, path: str, url: str) -> None:
    """Below the base URL, its version once, encoding untouched, a caller's key removed."""
    assert below(base_url, path) == url


def test_a_callers_credentials_go_and_ours_come() -> None:
    """Wherever an SDK puts its key: none reaches the provider but its own."""
    given = [
        *(("Authorization", "Bearer c"), ("X-Api-Key", "c"), ("x-goog-api-key", "c")),
        *(("api-key", "c"), ("Cookie", "c"), ("OpenAI-Organization", "c")),
    ]
    assert outgoing(given, OPENAI, key="k", length=None) == [("authorization", "Bearer k")]
    assert outgoing(given, OPENAI, key=None, length=None) == []
    kept = outgoing(given, ANTHROPIC, key="k", length=3)
    assert kept == [
        ("anthropic-version", "2023-06-01"),
        ("x-api-key", "k"),
        ("content-length", "3"),
    ]


def test_a_callers_version_wins() -> None:
    """A fixed header of the kind stands in only where the caller says nothing."""
    kept = outgoing([("Anthropic-Version", "2026")], ANTHROPIC, key=None, length=None)
    assert kept == [("anthropic-version", "2026")]


def test_headers_of_a_connection_stay_on_it() -> None:
    """Hop-by-hop headers, those that Connection names, and those for us are not passed on."""
    given = [
        *(("Connection", "close, X-Hop"), ("x-hop", "1"), ("TE", "trailers"), ("Host", "h")),
        *(("Transfer-Encoding", "chunked"), ("Content-Length", "9"), ("Expect", "100-continue")),
        *(("x-sidecar-within", "1s"), ("Upgrade", "h2c"), ("Proxy-Authorization", "c")),
        *(("Accept", "a"), ("Accept", "b"), ("User-Agent", "u"), ("accept-encoding", "gzip")),
    ]
    assert outgoing(given, OPENAI, key=None, length=None) == [
        ("accept", "a"),
        ("accept", "b"),
        ("user-agent", "u"),
        ("accept-encoding", "gzip"),
    ]


def test_headers_of_an_answer() -> None:
    """The same the other way round; cookies stay here, repeated headers are joined."""
    given = [
        *(("Content-Type", "audio/mpeg"), ("Content-Encoding", "gzip"), ("Content-Length", "9")),
        *(("Set-Cookie", "c"), ("Transfer-Encoding", "chunked"), ("Connection", "x-hop")),
        *(("X-Hop", "1"), ("x-sidecar-model", "forged"), ("Vary", "a"), ("vary", "b")),
    ]
    assert incoming(given) == {
        "content-type": "audio/mpeg",
        "content-encoding": "gzip",
        "content-length": "9",
        "vary": "a, b",
    }
