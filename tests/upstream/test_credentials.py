"""Keys: where they come from, when they are read again, and that nothing shows them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from sidecar.errors import ConfigError
from sidecar.upstream.credentials import Credential

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
async def advance(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a way to move the running loop's clock."""
    loop = asyncio.get_running_loop()
    real_time, offset = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: real_time() + offset[0])

    def move(by_s: float) -> None:
        offset[0] += by_s

    return move


def _replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)  # noqa: PTH105 - the atomic swap that rotates keys


def test_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of the environment is stripped, and is not in the repr."""
    monkeypatch.setenv("SOME_KEY", "  secret-1 \n")
    credential = Credential(env="SOME_KEY")
    assert credential.value() == "secret-1"
    assert "secret" not in repr(credential)
    assert "SOME_KEY" in repr(credential)


async def test_file_is_read_again_when_replaced(
    tmp_path: Path, advance: Callable[[float], None]
) -> None:
    """A replaced file gives a new key and a greater version, looked at once a second."""
    file = tmp_path / "key"
    file.write_text("one\n")
    credential = Credential(file=str(file))
    assert credential.value() == "one"
    before = credential.version
    _replace(file, "two\n")
    advance(0.5)
    assert credential.value() == "one"
    advance(0.6)
    assert credential.value() == "two"
    assert credential.version > before


async def test_symlink_swap(tmp_path: Path, advance: Callable[[float], None]) -> None:
    """A Kubernetes secret, a link to a directory that is swapped, is seen."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
    link = tmp_path / "data"
    link.symlink_to("a")
    credential = Credential(file=str(link / "key"))
    assert credential.value() == "a"
    (tmp_path / "next").symlink_to("b")
    os.replace(tmp_path / "next", link)  # noqa: PTH105 - the atomic swap that rotates keys
    advance(1.1)
    assert credential.value() == "b"


@pytest.mark.parametrize("text", [None, "", "two\nlines"])
async def test_bad_rotation_keeps_the_last_key(
    tmp_path: Path, advance: Callable[[float], None], text: str | None
) -> None:
    """While the file is missing, empty or unusable the last good key stays."""
    file = tmp_path / "key"
    file.write_text("one")
    credential = Credential(file=str(file))
    version = credential.version
    if text is None:
        file.unlink()
    else:
        _replace(file, text)
    advance(1.1)
    assert (credential.value(), credential.version) == ("one", version)
    _replace(file, "three")
    advance(1.1)
    assert credential.value() == "three"


async def test_touched_file_is_no_change(tmp_path: Path, advance: Callable[[float], None]) -> None:
    """The version grows with the key, not with the file's date."""
    file = tmp_path / "key"
    file.write_text("one")
    credential = Credential(file=str(file))
    version = credential.version
    _replace(file, "one\n")
    advance(1.1)
    assert credential.version == version


@pytest.mark.parametrize("key", ["", " \n", "sec\nret", "sec\x00ret", "sécret\N{EURO SIGN}"])
def test_unusable_keys(tmp_path: Path, key: str) -> None:
    """A key that no header can carry is refused, without quoting it."""
    file = tmp_path / "key"
    file.write_text(key, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Credential(file=str(file))
    assert "ret" not in str(caught.value).replace(str(file), "")


def test_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable or file that is not there is named in the mistake."""
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ConfigError, match="SOME_KEY"):
        Credential(env="SOME_KEY")
    with pytest.raises(ConfigError, match="nowhere"):
        Credential(file=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("given", [{}, {"env": "A", "file": "b"}])
def test_exactly_one_origin(given: dict[str, str]) -> None:
    """Neither or both of env and file is a mistake."""
    with pytest.raises(ConfigError):
        Credential(**given)
