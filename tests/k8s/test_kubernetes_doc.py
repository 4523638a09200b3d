"""docs/kubernetes.md agrees with the manifests and the code."""

from __future__ import annotations

import re

import pytest

from sidecar.engine.drain import QUIET_S, DrainSettings
from sidecar.upstream.kinds import KINDS
from tests.k8s.manifests import K8S, ROOT, component_patch, only, urls

TEXT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["docs/kubernetes.md", "k8s/README.md"])
def test_links_and_folders_are_there(page: str) -> None:
    """Every relative link, and every folder of manifests that is named, exists."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    assert all(((ROOT / page).parent / link).exists() for link in links)
    named = re.findall(r"k8s/[\w./-]+\w", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_folder_is_told_of() -> None:
    """Who reads the overview knows all folders."""
    overview = (K8S / "README.md").read_text(encoding="utf-8")
    folders = {f"`{f.parent.relative_to(K8S)}/`" for f in K8S.rglob("kustomization.yaml")}
    assert {folder for folder in folders if folder not in overview} == set()


def test_the_drain_is_the_codes() -> None:
    """The table of the end has the default grace, its parts, and Docker's shorter one."""
    settings, dockers = DrainSettings(), DrainSettings(grace_s=10.0)
    assert f"`drain.grace: {settings.grace_s:g}s`" in TEXT
    assert f"| 0 to {settings.refuse_after_s:g} s |" in TEXT
    assert f"| {settings.refuse_after_s:g} to {settings.end_after_s:g} s (from" in TEXT
    assert f"({settings.grace_s:g} s) are 90 s" in TEXT
    assert QUIET_S == 0.5
    assert f"{dockers.refuse_after_s:g} and {dockers.end_after_s:g}." in TEXT


def test_what_the_pod_gets_is_what_the_component_adds() -> None:
    """Variables, volumes, label, grace and requests are named as they are."""
    patch = component_patch()
    spec = patch["spec"]
    (container,) = spec["initContainers"]
    names = [*urls(), *(volume["name"] for volume in spec["volumes"]), container["name"]]
    (label,) = patch["metadata"]["labels"]
    grace = f"terminationGracePeriodSeconds: {spec['terminationGracePeriodSeconds']}"
    for word in (*names, grace):
        assert f"`{word}`" in TEXT
    assert f'`{label}: "true"`' in TEXT
    assert f"the request of {container['resources']['requests']['cpu']}" in TEXT
    assert container["resources"]["limits"]["memory"] in TEXT


def test_annotations_are_the_policys() -> None:
    """Every annotation that the page names is one that the policy or the component reads."""
    read = (K8S / "injection" / "policy.yaml").read_text(encoding="utf-8")
    for name in set(re.findall(r"llm-sidecar/(?!injected)\w+", TEXT)):
        assert f"'{name}'" in read


def test_the_secret_is_made_as_the_configuration_reads_it() -> None:
    """The command that makes the Secret has a file for each key, of a kind that there is."""
    (command,) = re.findall(r"kubectl create secret generic llm-keys (.+)", TEXT)
    files = re.findall(r"--from-file=(\w+)=", command)
    assert sorted(files) == sorted(only("base/secret.example.yaml")["stringData"])
    assert set(files) <= KINDS.keys()
