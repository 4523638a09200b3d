"""URLs, proxies of the environment and heads of requests, as text."""

from __future__ import annotations

import pytest

from sidecar.domain import EndpointId, ProviderName
from sidecar.engine.ports import OutboundRequest, PassedRequest
from sidecar.errors import ConfigError, ProtocolBrokenError
from sidecar.upstream.address import Address, parse_address
from sidecar.upstream.http import HttpUpstream, ProviderTarget
from sidecar.upstream.kinds import KINDS
from sidecar.upstream.proxies import proxy_for
from sidecar.upstream.request_head import Heads


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("http://a/v1", "a", 80, "/v1", "a"),
        ("HTTPS://API.Example.com", "api.example.com", 443, "", "api.example.com"),
        ("https://a:443/x", "a", 443, "/x", "a"),
        ("https://a:80/x", "a", 80, "/x", "a:80"),
        ("http://[::1]:8080/v1", "::1", 8080, "/v1", "[::1]:8080"),
        ("http://[2001:DB8::1]/", "2001:db8::1", 80, "/", "[2001:db8::1]"),
        ("https://bücher.example/é?q=ü", "xn--bcher-kva.example", 443, "/%C3%A9?q=%C3%BC", None),
        ("http://a/x%2Fy%20z?q=%20&r=[1]", "a", 80, "/x%2Fy%20z?q=%20&r=%5B1%5D", "a"),
        ("http://a/a b#part", "a", 80, "/a%20b", "a"),
        ("http://a./x", "a.", 80, "/x", "a"),
    ],
)
def test_urls(url: str, host: str, port: int, path: str, authority: str | None) -> None:
    """Hosts as DNS wants them, what is escaped as it came."""
    address = parse_address(url)
    assert (address.host, address.port, address.path) == (host, port, path)
    assert address.authority == (host if authority is None else authority)
    assert str(address) == f"{address.scheme}://{address.authority}{path}"


@pytest.mark.parametrize(
    "url",
    [
        *("", "a", "//a", "ftp://a", "http://", "http:///x", "http://u@a", "http://u:p@a/"),
        *("http://a b/", "http://a:x/", "http://a:99999/", "http://[::1/", "http://a\x7f/"),
        *("http://a<b>/", "http://\N{CIRCLED DIGIT ONE}" + "a" * 70 + "/"),
    ],
)
def test_what_is_no_url(url: str) -> None:
    """Nothing of it is guessed."""
    with pytest.raises(ValueError, match=r"host|port|Port|Invalid|label|URL"):
        parse_address(url)


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "http://a", None),
        ({"http_proxy": "http://p:3128"}, "http://a", "http://p:3128"),
        ({"http_proxy": "http://p:3128"}, "https://a", None),
        ({"https_proxy": "p"}, "https://a", "http://p"),
        ({"HTTPS_PROXY": "https://p"}, "https://a", "https://p"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://p"}, "https://a", None),
        ({"HTTP_PROXY": "http://p"}, "http://a", "http://p"),
        ({"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"}, "http://a", None),
        ({"http_proxy": "http://p", "no_proxy": "a"}, "http://a", None),
        ({"http_proxy": "http://p", "no_proxy": "b, .A ,"}, "http://x.a", None),
        ({"http_proxy": "http://p", "no_proxy": "a"}, "http://xa", "http://p"),
        ({"http_proxy": "http://p", "no_proxy": "a:81"}, "http://a:81", None),
        ({"http_proxy": "http://p", "no_proxy": "a:81"}, "http://a", "http://p"),
        ({"http_proxy": "http://p", "NO_PROXY": "10.0.0.1,[::1]"}, "http://[::1]", None),
        ({"http_proxy": "http://p", "no_proxy": " * "}, "http://a", None),
        ({"http_proxy": "http://p", "no_proxy": ","}, "http://a", "http://p"),
    ],
)
def test_proxies(environ: dict[str, str], url: str, proxy: str | None) -> None:
    """The environment's rules, as other programs read them."""
    found = proxy_for(parse_address(url), environ)
    assert (None if found is None else str(found.address)) == proxy
    assert found is None or found.authorization is None


def test_a_proxy_with_a_password() -> None:
    """It is told in its own header, as it was meant before it was escaped."""
    proxy = proxy_for(parse_address("http://a"), {"http_proxy": "http://us%40r:p%3Aw@p:1"})
    assert proxy is not None
    assert (str(proxy.address), proxy.authorization) == ("http://p:1", "Basic dXNAcjpwOnc=")


@pytest.mark.parametrize("url", ["socks5://u:secret@p:1", "http://u:secret@", "http://p:x"])
def test_what_is_no_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a mistake of the configuration, whose secrets are not shown."""
    monkeypatch.setenv("http_proxy", url)
    name = ProviderName("here")
    target = ProviderTarget(name=name, kind=KINDS["openai"], base_url="http://a.example")
    with pytest.raises(ConfigError, match="proxy") as caught:
        HttpUpstream(providers={name: target}, endpoints={})
    assert "secret" not in str(caught.value)


def heads(base: str = "http://a/v1", proxy: str | None = None) -> Heads:
    """Return the heads of a provider without a key."""
    address = parse_address(base)
    environ = {} if proxy is None else {"http_proxy": proxy}
    return Heads(
        kind=KINDS["openai"],
        base=address,
        proxy=proxy_for(address, environ),
        credential=None,
        signer=None,
    )


def request(path: str = "/x", value: str = "v", method: str = "POST") -> OutboundRequest:
    """Return a request whose caller may say some of it."""
    headers = (("OpenAI-Beta", value),)
    endpoint = EndpointId("here/model")
    return OutboundRequest(endpoint=endpoint, path=path, body=b"", headers=headers, method=method)


def passed(path: str = "/x", value: str = "v", method: str = "POST") -> PassedRequest:
    """Return a request of which its caller says all."""
    headers = (("x-a", value),)
    return PassedRequest(provider=ProviderName("here"), method=method, path=path, headers=headers)


@pytest.mark.parametrize("broken", ["a\r\nx: y", "a\nx: y", "a\rx: y", "\n", "\r"])
@pytest.mark.parametrize("where", ["path", "value", "method"])
def test_line_breaks_are_refused(broken: str, where: str) -> None:
    """No caller writes a header of its own into a request."""
    ours = {
        "path": request(path=f"/{broken}"),
        "value": request(value=broken),
        "method": request(method=broken),
    }
    theirs = {
        "path": passed(path=f"/{broken}"),
        "value": passed(value=broken),
        "method": passed(method=broken),
    }
    with pytest.raises(ProtocolBrokenError, match="line break"):
        heads().of(ours[where])
    with pytest.raises(ProtocolBrokenError, match="line break"):
        heads().of_passed(theirs[where])


def test_bytes_go_on_as_they_came() -> None:
    """What a caller sent in no known encoding leaves as the same bytes."""
    raw = b"caf\xe9 \xc3\xa9".decode("utf-8", "surrogateescape")
    assert b"openai-beta: caf\xe9 \xc3\xa9\r\n" in heads().of(request(value=raw))
    assert b"x-a: caf\xe9 \xc3\xa9\r\n" in heads().of_passed(passed(value=raw))


def test_through_a_proxy_the_whole_address_is_asked_for() -> None:
    """A plain request names its host in its line, and the proxy's password beside it."""
    proxied = heads("http://a:81/v1", "http://u:p@proxy:3128")
    for head in (proxied.of(request("/x?y=1")), proxied.of_passed(passed("/x?y=1"))):
        assert head.startswith(b"POST http://a:81/v1/x?y=1 HTTP/1.1\r\nhost: a:81\r\n")
        assert b"proxy-authorization: Basic dTpw\r\n" in head


def test_a_stream_elsewhere() -> None:
    """Base URL and path give way to an address, with its own host."""
    elsewhere = Address(scheme="http", host="b", port=81, path="/s?t=%2F")
    head = heads().of(request(), elsewhere)
    assert head.startswith(b"POST /s?t=%2F HTTP/1.1\r\nhost: b:81\r\n")
    assert head.count(b"host:") == 1
