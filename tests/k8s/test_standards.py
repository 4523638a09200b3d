"""What others demand of manifests: the API's schemas, and the restricted Pod Security standard.

The standard's rules are written out here, since a cluster would apply them at admission and nothing
on a developer's machine does.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.k8s.manifests import EXAMPLES, K8S, Manifest, documents, template, with_component

OLDEST, POLICY_SINCE, NEWEST = "1.29", "1.36", "1.37"
"""Native sidecars are on by default from the first; the policy's API is v1 from the second."""
VOLUMES = {"configMap", "secret", "emptyDir", "downwardAPI", "projected", "persistentVolumeClaim"}
FILES = [
    str(file.relative_to(K8S))
    for folder in ("base", "examples", "injection", "network")
    for file in sorted((K8S / folder).rglob("*.yaml"))
    if file.name != "kustomization.yaml"
]


def violations(pod: Manifest) -> list[str]:
    """Return how a pod breaks the restricted standard (and asks for too much otherwise)."""
    spec = pod["spec"]
    whole = spec.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    volumes = spec.get("volumes", ())
    found += [f"volume {volume['name']}" for volume in volumes if not volume.keys() & VOLUMES]
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        found += [f"{container['name']}: {what}" for what in _of_container(container, whole)]
    return found


def _of_container(container: Manifest, whole: Manifest) -> list[str]:
    own = container.get("securityContext", {})
    both: dict[str, Any] = {**whole, **own}
    capabilities = own.get("capabilities", {})
    rules = {
        "runs as root": both.get("runAsNonRoot") is True and both.get("runAsUser", 0) > 0,
        "privileged": not own.get("privileged"),
        "may gain privileges": own.get("allowPrivilegeEscalation") is False,
        "keeps capabilities": capabilities.get("drop") == ["ALL"] and not capabilities.get("add"),
        "seccomp": both.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
        "host port": not any("hostPort" in port for port in container.get("ports", ())),
        # beyond the standard
        "writes to its root": own.get("readOnlyRootFilesystem") is True,
        "no requests": container["resources"]["requests"].keys() == {"cpu", "memory"},
        "no memory limit": container["resources"]["limits"].keys() == {"memory"},
    }
    return [name for name, holds in rules.items() if not holds]


@pytest.mark.parametrize("example", EXAMPLES)
def test_pods_are_restricted(example: str) -> None:
    """The examples' pods, sidecar and app, would be let into a namespace that enforces it."""
    pod = with_component(template(example))
    assert violations(pod) == []
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_the_sidecar_needs_nothing_of_the_pod_to_be_restricted() -> None:
    """Beside an app that says nothing of security, the sidecar still meets the standard."""
    app = {"name": "app", "image": "app:1", "resources": {"requests": {}, "limits": {}}}
    found = violations(with_component({"spec": {"containers": [app]}}))
    assert found
    assert [what for what in found if not what.startswith("app: ")] == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("file", FILES)
def test_the_schemas_accept_it(file: str, version: str) -> None:
    """Every field is known, and of its type, in the oldest and the newest version supported."""
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="the API's schemas: install '.[manifests]'"
    )
    if file.startswith("injection/") and version == OLDEST:
        version = POLICY_SINCE
    for document in documents(file):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_schemas_accept_the_pod(example: str, version: str) -> None:
    """What comes of app and component is a pod to them, and a misspelt field would not be."""
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="the API's schemas: install '.[manifests]'"
    )
    pod = {"apiVersion": "v1", "kind": "Pod", **with_component(template(example))}
    kubernetes_validate.validate(pod, version, strict=True)
    pod["spec"]["initContainers"][0]["startupprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, version, strict=True)
