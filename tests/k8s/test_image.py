"""The image's recipe: it installs what the project asks for, at one version each, by hash."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.k8s.manifests import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def locked() -> dict[str, tuple[str, int]]:
    """Return version and number of hashes by package."""
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", LOCK, flags=re.MULTILINE).strip())
    found = {}
    for entry in entries:
        name, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()  # type: ignore[union-attr]  # a test may fail here
        found[name.lower()] = (version, entry.count("--hash=sha256:"))
    return found


@pytest.mark.parametrize(
    "text", [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["fleet"]]
)
def test_the_lock_satisfies_the_project(text: str) -> None:
    """Every dependency is locked, at a version that the project allows."""
    requirement = Requirement(text)
    version, _ = locked()[requirement.name.lower().replace("_", "-")]
    assert requirement.specifier.contains(version)


def test_everything_is_locked_by_hash() -> None:
    """No package could be replaced by another file of the same name."""
    assert all(hashes for _, hashes in locked().values())
    assert "--require-hashes" in DOCKERFILE
    assert "-r requirements.lock" in DOCKERFILE


def test_the_builder_gets_what_it_copies() -> None:
    """Every file that the Dockerfile copies is let through to the builder."""
    let_through = set(
        re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    )
    copies = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    sources = {word for line in copies for word in line.split()[:-1]}
    assert sources == let_through


def test_it_runs_without_a_shell_and_as_nobody() -> None:
    """The process is the container's first one, and no name of a user must be looked up."""
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    lines = last.splitlines()
    assert 'ENTRYPOINT ["/opt/sidecar/bin/python3", "-m", "sidecar"]' in lines
    assert "USER 65532:65532" in lines
    assert "RUN" not in last
