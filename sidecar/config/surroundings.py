"""What a configuration needs around it: keys, known kinds, safe addresses.

A key that is missing is found at start, not by the first call. Only its presence is looked at; no
message ever holds a key.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.config.embeddings import check_embeddings
from sidecar.config.fleet import check_fleet
from sidecar.config.problems import member, shown, suggestion
from sidecar.config.references import Mapped, entries, mapped
from sidecar.config.texts import is_loopback, split_address
from sidecar.durations import format_duration
from sidecar.upstream.kinds import KINDS
from sidecar.upstream.kinds_native import SIGNING_PACKAGE, can_sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.problems import Problems
    from sidecar.upstream.kind import Kind

_AWS_KEYS = ("access_key_id", "secret_access_key", "session_token")
_SECRETS = ("api_key", *_AWS_KEYS)
REFRESH_S_MIN = 3600.0
KEY_BYTES_MAX = 64 * 1024
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}", re.ASCII)
"""What surely is the name of a variable; anything else might be a key in the wrong place."""


class EverySecret(dict[str, str]):
    """An environment in which every secret is there, key files too: for what sends nothing."""


def check_surroundings(
    raw: Mapped, fitted: Mapped, env: Mapping[str, str], problems: Problems
) -> None:
    """Note what is missing around ``fitted``; what only looks missing there is in ``raw``."""
    written = dict(entries(raw, "providers"))
    for path, provider in entries(fitted, "providers"):
        _check_kind(path, {**written[path], **provider}, problems)
        for key in _SECRETS:
            if provider.get(key) is not None:
                _check_secret(member(path, key), mapped(provider, key), env, problems)
    check_embeddings(raw, fitted, problems)
    if fitted.get("token") is not None:
        _check_secret("$.token", mapped(fitted, "token"), env, problems)
    _check_listen(fitted, problems)
    fleet = mapped(fitted, "fleet")
    check_fleet(fleet, problems)
    if fleet.get("password") is not None:
        _check_secret("$.fleet.password", mapped(fleet, "password"), env, problems)
    refresh_s = mapped(fitted, "prices").get("refresh")
    if isinstance(refresh_s, float) and refresh_s < REFRESH_S_MIN:
        message = f"expected a duration of at least 1h, got {format_duration(refresh_s)}"
        problems.add("$.prices.refresh", f"{message}; list prices change by the week")
    _check_ledger(mapped(fitted, "ledger").get("path"), problems)
    _check_redact(mapped(fitted, "telemetry").get("redact"), problems)


def _check_kind(path: str, provider: Mapped, problems: Problems) -> None:
    """The kind is known, and what it has no default for is given."""
    name = provider.get("kind")
    if not isinstance(name, str):
        return
    kind = KINDS.get(name)
    if kind is None:
        message = f"expected a kind of provider, got {shown(name)}; {suggestion(name, KINDS)}"
        problems.add(member(path, "kind"), message)
        return
    _check_aws(path, provider, kind, problems)
    base_url = provider.get("base_url")
    if base_url is None and kind.base_url is None:
        message = f'missing key "base_url", which kind {name} has no default for'
        problems.add(path, f"{message}; add `base_url: http://…`")
    elif not (_signs(provider) or provider.get("api_key")) and kind.needs_key_at(
        base_url if isinstance(base_url, str) else None
    ):
        region = provider.get("region")
        own = kind.base_url_in(region if isinstance(region, str) else None) or kind.name
        message = f'missing key "api_key", which {own} asks for'
        problems.add(path, f"{message}; add `api_key: {{env: {kind.key_env}}}`")


def _check_aws(path: str, provider: Mapped, kind: Kind, problems: Problems) -> None:
    """Keys of AWS come in pairs, with a region, and only where they are understood."""
    given = [key for key in (*_AWS_KEYS, "region") if provider.get(key) is not None]
    if not kind.is_aws:
        for key in given:
            problems.add(member(path, key), f"kind {kind.name} has no such key; remove it")
        return
    needs_region = provider.get("base_url") is None or _signs(provider)
    if needs_region and "region" not in given:
        problems.add(path, f'missing key "region" of kind {kind.name}; add `region: us-east-1`')
    if _signs(provider):
        _check_aws_keys(path, provider, given, problems)


def _check_aws_keys(path: str, provider: Mapped, given: list[str], problems: Problems) -> None:
    if provider.get("api_key") is not None:
        problems.add(path, "expected either api_key or AWS keys, got both; remove one")
    for key in ("access_key_id", "secret_access_key"):
        if key not in given:
            hint = f"add `{key}: {{env: AWS_{key.upper()}}}`"
            problems.add(path, f'missing key "{key}" beside the other AWS keys; {hint}')
    if not can_sign():
        message = f"AWS keys need the package {SIGNING_PACKAGE}, which is not installed"
        problems.add(path, f"{message}; install llm-resilience-sidecar[bedrock] or use an api_key")


def _signs(provider: Mapped) -> bool:
    return any(provider.get(key) is not None for key in _AWS_KEYS)


def _check_secret(path: str, secret: Mapped, env: Mapping[str, str], problems: Problems) -> None:
    """Exactly one place is named, and there is something there."""
    name, file = secret.get("env"), secret.get("file")
    if isinstance(name, str) and isinstance(file, str):
        problems.add(path, "expected either env or file, got both; remove one")
    elif isinstance(env, EverySecret) and (isinstance(name, str) or isinstance(file, str)):
        return
    elif isinstance(name, str):
        value = env.get(name)
        if not (value or "").strip():
            state = "not set" if value is None else "empty"
            safe = name if _VARIABLE.fullmatch(name) else "of this name (not shown)"
            message = f"environment variable {safe} is {state}"
            problems.add(member(path, "env"), f"{message}; set it or name another")
    elif isinstance(file, str):
        wrong = _file_problem(Path(file))
        if wrong is not None:
            problems.add(member(path, "file"), f"key file {shown(file)} {wrong}")
    elif secret.keys() <= {"env", "file"}:
        problems.add(path, "expected {env: NAME} or {file: PATH}, got neither; add one")


def _file_problem(path: Path) -> str | None:
    """Return what is wrong with a key file, None if it can be used."""
    try:
        with path.open("rb") as file:
            data = file.read(KEY_BYTES_MAX + 1)
    except FileNotFoundError:
        return "does not exist; mount it or correct the path"
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        return f"cannot be read ({reason}); correct the path or its permissions"
    if not data.strip():
        return "is empty; write the key into it"
    return "is too large for a key; correct the path" if len(data) > KEY_BYTES_MAX else None


def _check_redact(patterns: object, problems: Problems) -> None:
    """What is to be cut out of prompts is a regular expression."""
    for number, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        try:
            re.compile(str(pattern))
        except re.error as error:
            message = f"not a regular expression ({error}); e.g. '[0-9]{{16}}'"
            problems.add(f"$.telemetry.redact[{number}]", message)


def _check_ledger(path: object, problems: Problems) -> None:
    """A ledger's file may be missing, its directory is a mistake of writing."""
    if isinstance(path, str) and ("\0" in path or Path(path).is_dir()):
        message = f"expected the path of a file, got {shown(path)}"
        problems.add("$.ledger.path", f"{message}; add a file name, as in ledger.db")


def _check_listen(fitted: Mapped, problems: Problems) -> None:
    """Planes that take orders stay on loopback or have a token; none share a port."""
    listen = mapped(fitted, "listen")
    owner: dict[str, str] = {}
    for plane, default in _PLANES.items():
        address = str(listen.get(plane, default))
        host, port = split_address(address)
        path = member("$.listen", plane)
        first = owner.setdefault(port, plane) if port != "0" else plane
        if first != plane:
            message = f"expected a port of its own, got {port}, the port of {first}"
            problems.add(path, f"{message}; choose another")
        is_guarded = fitted.get("allow_remote") is True and fitted.get("token") is not None
        if plane != "health" and not is_loopback(host) and not is_guarded:
            message = f"expected a loopback address, got {shown(address)}"
            hint = "listen on 127.0.0.1, or add `allow_remote: true` and `token: {env: NAME}`"
            problems.add(path, f"{message}; {hint}")


_PLANES = {"data": "127.0.0.1:4180", "admin": "127.0.0.1:4181", "health": "0.0.0.0:4182"}
