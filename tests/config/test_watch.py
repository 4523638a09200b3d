"""When the file of the configuration is read again: each way of replacing it, and no other time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sidecar.config.watch import LOOK_S, SETTLE_S, Watched

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is watched."""
    path = tmp_path / "sidecar.yaml"
    path.write_text("a: 1")
    return path


def looks(watched: Watched) -> list[bool]:
    """Look three times."""
    return [watched.look() for _ in range(3)]


def test_nothing_new_is_nothing_to_read(file: Path) -> None:
    """What is as it was is never read again."""
    watched = Watched(file)
    assert looks(watched) == [False, False, False]
    assert watched.pause_s == LOOK_S


def test_written_in_place(file: Path) -> None:
    """A change is tried once, when it looks the same twice, and looked at again soon for that."""
    watched = Watched(file)
    file.write_text("a: 12")
    assert not watched.look()
    assert watched.pause_s == SETTLE_S
    assert looks(watched) == [True, False, False]
    assert watched.pause_s == LOOK_S


def test_still_being_written(file: Path) -> None:
    """Half a file is not tried."""
    watched = Watched(file)
    for length in range(1, 9):
        file.write_text("a" * length)
        assert not watched.look()
    assert watched.look()


def test_renamed_over(file: Path) -> None:
    """An editor that puts another file in the place is noticed, even of the same length and age."""
    watched = Watched(file)
    stat = file.stat()
    other = file.with_suffix(".new")
    other.write_text("a: 2")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.rename(file)
    assert looks(watched) == [False, True, False]


def test_swap_of_a_config_map(tmp_path: Path) -> None:
    """As a kubelet does it: the file is a link through ``..data``, which is swapped."""
    mount = tmp_path / "etc"
    mount.mkdir()

    def publish(stamp: str, text: str) -> None:
        (mount / stamp).mkdir()
        (mount / stamp / "sidecar.yaml").write_text(text)
        (mount / "..data_tmp").symlink_to(stamp)
        (mount / "..data_tmp").rename(mount / "..data")

    publish("..1", "a: 1")
    (mount / "sidecar.yaml").symlink_to("..data/sidecar.yaml")
    watched = Watched(mount / "sidecar.yaml")
    assert looks(watched) == [False, False, False]
    publish("..2", "a: 2")
    assert looks(watched) == [False, True, False]


def test_taken_is_tried(file: Path) -> None:
    """What was read because somebody asked for it is not read once more for its change."""
    watched = Watched(file)
    file.write_text("a: 12")
    watched.take()
    assert looks(watched) == [False, False, False]


def test_gone_for_a_moment(file: Path) -> None:
    """A file that is back at the next look was not missed."""
    watched = Watched(file)
    moved = file.rename(file.with_suffix(".old"))
    assert not watched.look()
    assert watched.pause_s == LOOK_S
    moved.rename(file)
    assert looks(watched) == [False, False, False]


def test_gone_for_good(file: Path) -> None:
    """A missing file is tried once, which says so; it is read when it is back."""
    watched = Watched(file)
    file.unlink()
    assert looks(watched) == [False, True, False]
    file.write_text("a: 3")
    assert looks(watched) == [False, True, False]
