# ruff: noqa: INP001 - a script, in no package

"""Makes ``docs/providers.md``: ``python -m docs.make_providers``, with the ``test`` extra.

Everything in it is computed from the code: kinds from their table, what arrives between formats
from the verdicts that the tests demand, exchanges from the recordings that the tests replay.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.engine.output_check import ANSWER_CHARS_MAX, WORK_MAX
from sidecar.engine.schema_bound import PATTERNS_MAX, SCHEMA_BYTES_MAX, UNROLLED_MAX
from sidecar.upstream.kinds import KINDS
from sidecar.wire.formats import CODECS
from tests.wire.pairs.fixtures import CONVERSATIONS, FIXTURES
from tests.wire.pairs.meaning import ASKED, SAID
from tests.wire.pairs.verdict import Fate, answer_verdict, ask_verdict
from tests.wire.replays import count_by_provider

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.domain import WireFormat
    from sidecar.upstream.kind import Kind
    from tests.wire.pairs.verdict import Verdict

FILE = Path(__file__).with_name("providers.md")
HEAD = """\
# Providers

Made by `python -m docs.make_providers`; a test checks that it is current.

## Kinds

`kind:` of a provider in the configuration. *Key*: the header that carries it, and the variable in
which the vendor's own SDK looks for it. *Probe*: the request by which a silent provider is tried
free of charge; without one, a short paid call is made within the daily budget.

"""
REQUESTS = """
## Requests between formats

For each format that callers speak, what becomes of a request at a provider of each format, in one
piece and streamed alike. `=`: the caller's bytes, but for the model's name. `yes`: translated,
everything arrives. Names: what `x-sidecar-dropped` tells the caller; the rest arrives. `elsewhere`:
only endpoints of the caller's own format are asked. Empty: the caller's format has no words for it.

"""
ANSWERS = """\
## Answers between formats

What providers of each format can say. All of it reaches callers of every format: text, tool calls,
thinking, usage and the reason of the end, in one piece and streamed. Within a format the bytes are
the provider's own.

"""
RECORDED = """
## Recorded traffic

Exchanges with real providers, recorded by other projects, that the tests play again through the
whole sidecar: in their own format byte for byte, in every other with the same meaning. Sources and
licences: the README files in `tests/wire/recorded` and `tests/wire/recorded_more`. Exchanges
of other APIs are passed on unchanged (`tests/wire/test_passed_replays.py`).

"""
CHECKED = """
## Structured output

An answer to a request for JSON is checked, whichever format asked: it must be JSON, and valid under
the schema. A whole answer that is not counts as DEGENERATE, and the next endpoint is tried, unless
the route says `check_output: false`. A stream has been shown already; its last comment says
`"invalid_output": "$.items[0].price: type"`, the place and the rule, never the content. With
`on_break: restart` it was not shown yet and is tried elsewhere too. Refusals, tool calls and
answers cut by their length or a filter are left as they are: their finish reason tells.

Checking is bounded, since it runs between the calls of others (at most about 70 ms): schemas up to
{schema_kib} KiB with {patterns} patterns and {subschemas} subschemas after following references;
answers up to {answer_kib} Ki characters, subschemas times characters up to {work}; whole numbers up
to 40 digits. What exceeds a bound goes unchecked, so do schemas with `$id`, `$anchor`,
`$dynamicRef`, `unevaluated…` or references to other documents. `format` is not looked at.

"""


def main() -> None:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")


def text() -> str:
    """Return what the file has to say."""
    parts = [HEAD, _table(("kind", "speaks", "base URL", "key", "probe", "cannot"), _kinds())]
    parts.append(REQUESTS)
    for caller in _present():
        if caller in CODECS:
            parts += [f"### Callers of {caller.value}\n\n", _requests(caller), "\n"]
    said = _table(("", *(one.value for one in _present())), _answers())
    counts = _table(("provider", "format", "exchanges"), _exchanges())
    parts += [ANSWERS, said, _checked(), RECORDED, counts]
    return "".join(parts)


def _checked() -> str:
    return (
        CHECKED.format(
            schema_kib=SCHEMA_BYTES_MAX // 1024,
            patterns=PATTERNS_MAX,
            subschemas=UNROLLED_MAX,
            answer_kib=ANSWER_CHARS_MAX // 1024,
            work=WORK_MAX,
        ).rstrip("\n")
        + "\n"
    )


def _present() -> list[WireFormat]:
    return [one for one in CONVERSATIONS if one in FIXTURES]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _kinds() -> Iterable[Sequence[str]]:
    for name, kind in sorted(KINDS.items()):
        formats = ", ".join(one.value for one in (kind.format, *kind.also))
        key = f"`{kind.auth_header}`, `{kind.key_env}`" if kind.key_env else ""
        probe = f"`GET {kind.free_probe_path}`" if kind.free_probe_path else ""
        url = f"`{kind.base_url}`" if kind.base_url else "to be given"
        yield f"`{name}`", formats, url, key, probe, _cannot(kind)


def _cannot(kind: Kind) -> str:
    """Return what no model of a kind can do, where that is known."""
    abilities = getattr(kind, "abilities", None)
    return "" if abilities is None else ", ".join(sorted(one.value for one in abilities.cannot))


def _requests(caller: WireFormat) -> str:
    providers = _present()
    rows = []
    for feature in ASKED:
        verdicts = [
            (
                ask_verdict(caller, provider, feature, stream=False),
                ask_verdict(caller, provider, feature, stream=True),
            )
            for provider in providers
        ]
        assert all(plain == streamed for plain, streamed in verdicts), "streams differ"
        rows.append((feature, *(_cell(plain) for plain, _ in verdicts)))
    return _table(("", *(one.value for one in providers)), rows)


def _cell(verdict: Verdict) -> str:
    match verdict.fate:
        case Fate.EXACT:
            return "="
        case Fate.TRANSLATED:
            return "yes"
        case Fate.DROPPED:
            return ", ".join(f"`{name}`" for name in verdict.dropped)
        case Fate.INELIGIBLE:
            return "elsewhere"
        case Fate.UNSPEAKABLE:
            return ""


def _answers() -> Iterable[Sequence[str]]:
    for feature in SAID:
        cells = []
        for provider in _present():
            verdicts = [
                answer_verdict(caller, provider, feature, stream=stream)
                for caller in CODECS
                if caller in FIXTURES
                for stream in (False, True)
            ]
            is_said = all(one.fate is not Fate.UNSPEAKABLE for one in verdicts)
            cells.append("yes" if is_said else FIXTURES[provider].cannot[f"answer: {feature}"])
        yield feature, *cells


def _exchanges() -> Iterable[Sequence[str]]:
    counts = count_by_provider()
    for (provider, wire_format), count in sorted(
        counts.items(), key=lambda item: (item[0][0], item[0][1].value)
    ):
        yield provider, wire_format.value, str(count)
    yield "all", "", str(counts.total())


if __name__ == "__main__":
    main()
