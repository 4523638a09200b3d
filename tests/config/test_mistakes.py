"""Every kind of mistake, each with the exact line that a person will read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BIG = "{provider: a, model: a-big, price: {input: 1, output: 2}}"
B = '  b: {kind: anthropic, base_url: "http://127.0.0.2:4192"}\n'
ROUTE = "{tiers: [[big], [small]], within: 20s}"
A = '{kind: openai, base_url: "http://127.0.0.1:4191/v1"}'


def _with(entry: str, more: str) -> tuple[str, str]:
    """Return the change that adds ``more`` to a flow mapping."""
    return entry, f"{entry[:-1]}, {more}}}"


CASES: dict[str, tuple[tuple[str, str], str]] = {
    "a ledger of no days": (
        ("routes:", "ledger: {keep_days: 0}\nroutes:"),
        "c.yaml:7: $.ledger.keep_days: expected a whole number from 1 to 3660, got 0",
    ),
    "a ledger that is a directory": (
        ("routes:", "ledger: {path: /tmp}\nroutes:"),
        (
            'c.yaml:7: $.ledger.path: expected the path of a file, got "/tmp"; add a file name,'
            " as in ledger.db"
        ),
    ),
    "unknown key": (
        ("within: 20s", "witin: 20s"),
        'c.yaml:8: $.routes.reason.witin: unknown key "witin"; did you mean "within"?',
    ),
    "unknown key, nothing near": (
        _with(A, "zzz: 1"),
        (
            'c.yaml:2: $.providers.a.zzz: unknown key "zzz"; known keys: kind, base_url, api_key,'
            " region, access_key_id, secret_access_key, session_token, limits, capacity,"
            " verify_tls, trace_context"
        ),
    ),
    "missing key": (
        ("provider: a, ", ""),
        (
            'c.yaml:5: $.models.big: missing key "provider", expected text that is not empty; add'
            " `provider: …`"
        ),
    ),
    "wrong kind": (
        (BIG, "[1]"),
        "c.yaml:5: $.models.big: expected a mapping, got a list",
    ),
    "text in quotes": (
        ("model: a-big", "model: 4"),
        "c.yaml:5: $.models.big.model: expected text that is not empty, got 4; put it in quotes",
    ),
    "nothing": (
        (BIG, ""),
        "c.yaml:5: $.models.big: expected a mapping, got nothing",
    ),
    "true or false": (
        _with(A, "verify_tls: 0"),
        "c.yaml:2: $.providers.a.verify_tls: expected true or false, got 0",
    ),
    "a provider that hides paths": (
        ("models:", "  v1: {kind: openai, base_url: 'http://127.0.0.3:1'}\nmodels:"),
        'c.yaml:4: $.providers.v1: name "v1" is a path of the sidecar\'s own; rename it',
    ),
    "no embeddings at this kind": (
        ("model: b-small,", "model: b-small, embeds: true,"),
        (
            "c.yaml:6: $.models.small.embeds: kind anthropic makes no embeddings; remove it or"
            " choose another provider"
        ),
    ),
    "a space of no embeddings": (
        ("model: a-big,", "model: a-big, embeds: false, embedding_space: x,"),
        (
            "c.yaml:5: $.models.big.embedding_space: a model that does not embed has no space;"
            " remove one of the two"
        ),
    ),
    "bare duration": (
        ("within: 20s", "within: 20"),
        (
            "c.yaml:8: $.routes.reason.within: expected a duration with a unit, got 20; write"
            ' "20s" for seconds or "20ms" for milliseconds'
        ),
    ),
    "bad duration": (
        ("within: 20s", "within: 20 sec"),
        (
            'c.yaml:8: $.routes.reason.within: expected a duration such as "250ms", "2s" or "5m",'
            " got '20 sec'"
        ),
    ),
    "duration of no text": (
        ("within: 20s", "within: [1]"),
        (
            'c.yaml:8: $.routes.reason.within: expected a duration such as "250ms", "2s" or "5m",'
            " got a list"
        ),
    ),
    "bad url": (
        ("http://127.0.0.1:4191/v1", "ftp://x"),
        (
            "c.yaml:2: $.providers.a.base_url: expected a URL such as"
            ' "https://api.example.com/v1", got "ftp://x"; it starts with http:// or https:// and'
            " names a host"
        ),
    ),
    "bad port in url": (
        ("127.0.0.1:4191", "127.0.0.1:99999"),
        (
            "c.yaml:2: $.providers.a.base_url: expected a URL such as"
            ' "https://api.example.com/v1", got "http://127.0.0.1:99999/v1"; it starts with http://'
            " or https:// and names a host"
        ),
    ),
    "credentials in url": (
        ("http://127.0.0.1:4191", "http://u:hunter2@127.0.0.1:4191"),
        (
            "c.yaml:2: $.providers.a.base_url: expected a URL without credentials; give the key as"
            " `api_key: {env: NAME}`"
        ),
    ),
    "query in url": (
        ("4191/v1", "4191/v1?a=b"),
        (
            "c.yaml:2: $.providers.a.base_url: expected a URL such as"
            ' "https://api.example.com/v1", got "http://127.0.0.1:4191/v1"; remove what follows'
            " ? or #"
        ),
    ),
    "bad port": (
        ("providers:", "listen: {data: 127.0.0.1:70000}\nproviders:"),
        (
            'c.yaml:1: $.listen.data: expected an address such as "127.0.0.1:4180", got'
            ' "127.0.0.1:70000"; a port is at most 65535'
        ),
    ),
    "no port": (
        ("providers:", "listen: {data: localhost}\nproviders:"),
        (
            'c.yaml:1: $.listen.data: expected an address such as "127.0.0.1:4180", got'
            ' "localhost"; write host and port'
        ),
    ),
    "shared port": (
        ("providers:", "listen: {admin: 127.0.0.1:4180}\nproviders:"),
        (
            "c.yaml:1: $.listen.admin: expected a port of its own, got 4180, the port of data;"
            " choose another"
        ),
    ),
    "remote bind": (
        ("providers:", "listen: {data: 0.0.0.0:4180}\nproviders:"),
        (
            'c.yaml:1: $.listen.data: expected a loopback address, got "0.0.0.0:4180"; listen on'
            " 127.0.0.1, or add `allow_remote: true` and `token: {env: NAME}`"
        ),
    ),
    "remote bind without token": (
        ("providers:", "listen: {admin: 10.0.0.1:4181}\nallow_remote: true\nproviders:"),
        (
            'c.yaml:1: $.listen.admin: expected a loopback address, got "10.0.0.1:4181"; listen on'
            " 127.0.0.1, or add `allow_remote: true` and `token: {env: NAME}`"
        ),
    ),
    "unknown kind": (
        ("kind: openai", "kind: opnai"),
        (
            'c.yaml:2: $.providers.a.kind: expected a kind of provider, got "opnai"; did you mean'
            ' "openai"?'
        ),
    ),
    "unknown provider": (
        ("provider: b", "provider: c"),
        'c.yaml:6: $.models.small.provider: expected a provider, got "c"; one of a, b',
    ),
    "unknown model in tiers": (
        ("[small]", "[smal]"),
        (
            'c.yaml:8: $.routes.reason.tiers[1][0]: expected a model, got "smal"; did you mean'
            ' "small"?'
        ),
    ),
    "empty tier": (
        ("[small]]", "[]]"),
        "c.yaml:8: $.routes.reason.tiers[1]: expected models in this tier, got none; remove it",
    ),
    "no tiers": (
        ("[[big], [small]]", "[]"),
        "c.yaml:8: $.routes.reason.tiers: expected at least one tier, got none; add `[[model]]`",
    ),
    "model twice": (
        ("[small]]", "[small, big]]"),
        (
            'c.yaml:8: $.routes.reason.tiers[1][1]: model "big" is already at'
            " $.routes.reason.tiers[0][0] (line 8); keep one"
        ),
    ),
    "prompt for a stranger": (
        _with(ROUTE, "prompts: {biig: {system: x}}"),
        (
            "c.yaml:8: $.routes.reason.prompts.biig: expected a model of this route, got"
            ' "biig"; did you mean "big"?'
        ),
    ),
    "alias to nothing": (
        ("routes:", "aliases: {gpt: bigg}\nroutes:"),
        'c.yaml:7: $.aliases.gpt: expected a route or model, got "bigg"; did you mean "big"?',
    ),
    "quality for an unknown route": (
        _with(BIG, "quality: {reson: 0.5}"),
        (
            'c.yaml:5: $.models.big.quality.reson: expected "default" or a route, got "reson"; did'
            ' you mean "reason"?'
        ),
    ),
    "route named like a model": (
        ("  reason:", "  big:"),
        'c.yaml:5: $.models.big: name "big" is taken by $.routes.big (line 8); rename one',
    ),
    "alias named like a route": (
        ("routes:", "aliases: {reason: big}\nroutes:"),
        (
            'c.yaml:7: $.aliases.reason: name "reason" is taken by $.routes.reason (line 9); rename'
            " one"
        ),
    ),
    "bad name": (
        ("  reason: ", '  "rea/son": '),
        (
            'c.yaml:8: $.routes["rea/son"]: expected a name, got "rea/son"; use letters, digits'
            " and . _ : - (at most 100)"
        ),
    ),
    "static not given": (
        _with(ROUTE, "degrade: [static]"),
        (
            'c.yaml:8: $.routes.reason.degrade: expected `static: "…"` beside degrade: [static],'
            " got nothing; add the answer"
        ),
    ),
    "unknown step of degrading": (
        _with(ROUTE, "degrade: [smoler]"),
        (
            'c.yaml:8: $.routes.reason.degrade[0]: expected "clamp" or "smaller" or "stale" or'
            ' "static", got "smoler"; did you mean "smaller"?'
        ),
    ),
    "quality out of range": (
        _with(BIG, "quality: 1.5"),
        "c.yaml:5: $.models.big.quality: expected a number from 0 to 1, got 1.5",
    ),
    "quality of no number": (
        _with(BIG, "quality: good"),
        'c.yaml:5: $.models.big.quality: expected a number from 0 to 1 or a mapping, got "good"',
    ),
    "unknown grader": (
        _with(ROUTE, "grader: {model: bog, rubric: short?}"),
        'c.yaml:8: $.routes.reason.grader.model: expected a model, got "bog"; did you mean "big"?',
    ),
    "grader of more than all": (
        _with(ROUTE, "grader: {model: big, rubric: short?, share: 2}"),
        "c.yaml:8: $.routes.reason.grader.share: expected a number from 0 to 1, got 2",
    ),
    "negative price": (
        ("price: {input: 1, output: 2}}\n  small", "price: {input: -1, output: 2}}\n  small"),
        "c.yaml:5: $.models.big.price.input: expected a number from 0 to 1e+06, got -1",
    ),
    "price that is no number": (
        ("price: {input: 1, output: 2}}\n  small", "price: {input: .nan, output: 2}}\n  small"),
        "c.yaml:5: $.models.big.price.input: expected a number from 0 to 1e+06, got nan",
    ),
    "price beyond belief": (
        ("price: {input: 1, output: 2}}\n  small", "price: {input: 1, output: 2e7}}\n  small"),
        "c.yaml:5: $.models.big.price.output: expected a number from 0 to 1e+06, got 20000000.0",
    ),
    "prices fetched all the time": (
        ("routes:", "prices: {refresh: 5m}\nroutes:"),
        (
            "c.yaml:7: $.prices.refresh: expected a duration of at least 1h, got 5m; list prices"
            " change by the week"
        ),
    ),
    "negative spend cap": (
        _with(ROUTE, "limits: {usd_per_day: -5}"),
        "c.yaml:8: $.routes.reason.limits.usd_per_day: expected a number from 0 to 1e+09, got -5",
    ),
    "infinite budget": (
        _with(ROUTE, "budget: .inf"),
        "c.yaml:8: $.routes.reason.budget: expected a number of at least 0, got inf",
    ),
    "no attempts": (
        _with(ROUTE, "attempts: 0"),
        "c.yaml:8: $.routes.reason.attempts: expected a whole number from 1 to 20, got 0",
    ),
    "unknown threshold": (
        ("routes:", "defaults: {breaker: {open_bse: 2s}}\nroutes:"),
        'c.yaml:7: $.defaults.breaker.open_bse: unknown key "open_bse"; did you mean "open_base"?',
    ),
    "bad threshold of a model": (
        _with(BIG, "breaker: {open_base: 2}"),
        (
            "c.yaml:5: $.models.big.breaker.open_base: expected a duration with a unit, got 2;"
            ' write "2s" for seconds or "2ms" for milliseconds'
        ),
    ),
    "no key for the vendor": (
        (', base_url: "http://127.0.0.1:4191/v1"', ""),
        (
            'c.yaml:2: $.providers.a: missing key "api_key", which https://api.openai.com/v1 asks'
            " for; add `api_key: {env: OPENAI_API_KEY}`"
        ),
    ),
    "variable not set": (
        _with(A, "api_key: {env: SOME_KEY}"),
        (
            "c.yaml:2: $.providers.a.api_key.env: environment variable SOME_KEY is not set; set it"
            " or name another"
        ),
    ),
    "key without a place": (
        _with(A, "api_key: {}"),
        (
            "c.yaml:2: $.providers.a.api_key: expected {env: NAME} or {file: PATH}, got neither;"
            " add one"
        ),
    ),
    "key in two places": (
        _with(A, "api_key: {env: A, file: b}"),
        "c.yaml:2: $.providers.a.api_key: expected either env or file, got both; remove one",
    ),
    "key written out": (
        _with(A, "api_key: hunter2"),
        (
            "c.yaml:2: $.providers.a.api_key: expected {env: NAME} or {file: PATH}, got a value"
            " that is not shown; name where the key is"
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_exact_line(case: str, problems: Callable[..., list[str]]) -> None:
    """One mistake gives one line with place, expectation, what stands there and a way out."""
    change, message = CASES[case]
    assert problems(change) == [message]


def test_all_mistakes_come_at_once(problems: Callable[..., list[str]]) -> None:
    """Three mistakes in three places are three lines in the order of the file."""
    found = problems(("kind: openai", "kind: x"), ("input: 1", "input: a"), ("20s", "20"))
    assert [line.partition(": ")[0] for line in found] == [
        *("c.yaml:2", "c.yaml:5", "c.yaml:6", "c.yaml:8")
    ]


def test_an_empty_variable_is_no_key(problems: Callable[..., list[str]]) -> None:
    """A variable of blanks is told apart from a missing one."""
    change = _with(A, "api_key: {env: SOME_KEY}")
    assert problems(change, env={"SOME_KEY": " "}) == [
        (
            "c.yaml:2: $.providers.a.api_key.env: environment variable SOME_KEY is empty; set it or"
            " name another"
        )
    ]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (None, "does not exist; mount it or correct the path"),
        (" \n", "is empty; write the key into it"),
        ("k" * 70_000, "is too large for a key; correct the path"),
    ],
)
def test_a_key_file_that_cannot_serve_is_named(
    content: str | None, wrong: str, tmp_path: Path, problems: Callable[..., list[str]]
) -> None:
    """A key file is looked at when the configuration is read; its content is never shown."""
    key = tmp_path / "k"
    if content is not None:
        key.write_text(content)
    (line,) = problems(_with(A, f"api_key: {{file: {key}}}"))
    assert line.startswith("c.yaml:2: $.providers.a.api_key.file: key file ")
    assert line.endswith(wrong)
    assert "kkkkkk" not in line


def test_a_directory_is_no_key_file(tmp_path: Path, problems: Callable[..., list[str]]) -> None:
    """What the system says about an unreadable file is passed on."""
    (line,) = problems(_with(A, f"api_key: {{file: {tmp_path}}}"))
    assert line.endswith("cannot be read (Is a directory); correct the path or its permissions")


def test_a_key_in_place_of_its_name_is_not_shown(problems: Callable[..., list[str]]) -> None:
    """Who writes the key where its variable belongs does not find it in a log."""
    (line,) = problems(_with(A, "api_key: {env: sk-hunter2}"))
    assert line == (
        "c.yaml:2: $.providers.a.api_key.env: environment variable of this name (not shown) is"
        " not set; set it or name another"
    )


def test_sections_that_must_have_entries(problems: Callable[..., list[str]]) -> None:
    """An empty section and a missing one are told apart."""
    assert problems((f"  a: {A}\n", ""), (B, ""), ("providers:\n", "providers: {}\n")) == [
        "c.yaml:1: $.providers: expected at least one entry, got none; add one",
        'c.yaml:3: $.models.big.provider: expected a provider, got "a"; there is none yet',
        'c.yaml:4: $.models.small.provider: expected a provider, got "b"; there is none yet',
    ]
