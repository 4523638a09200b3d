"""The manifests as data, and the pods that come of them by the component and by the policy.

``patched`` merges a patch as kustomize and ``kubectl`` do for the lists that occur here (by
``name``, new members first), so that tests need neither; where ``kubectl`` is, a test compares.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
MERGE_KEYS = {"initContainers": "name", "containers": "name", "volumes": "name", "env": "name"}
EXAMPLES = {"python": "deployment.yaml", "shell": "job.yaml"}

Manifest = dict[str, Any]


def documents(file: str) -> list[Manifest]:
    """Return the documents of a manifest."""
    return list(yaml.safe_load_all((K8S / file).read_text(encoding="utf-8")))


def only(file: str) -> Manifest:
    """Return the document of a manifest that holds one."""
    (document,) = documents(file)
    return document


def patched(target: Manifest, patch: Manifest) -> Manifest:
    """Return ``target`` with a strategic merge patch applied."""
    merged = dict(target)
    for key, value in patch.items():
        if key in MERGE_KEYS and key in merged:
            merged[key] = _members(merged[key], value, MERGE_KEYS[key])
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = patched(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _members(held: list[Manifest], given: list[Manifest], key: str) -> list[Manifest]:
    by_name = {member[key]: member for member in given}
    kept = [patched(member, by_name.get(member[key], {})) for member in held]
    known = {member[key] for member in held}
    return [copy.deepcopy(member) for member in given if member[key] not in known] + kept


def component_patch() -> Manifest:
    """Return what the component adds to a pod template."""
    template: Manifest = only("component/sidecar.yaml")["spec"]["template"]
    return template


def urls() -> dict[str, str]:
    """Return the addresses that the first container is given, by variable."""
    found: dict[str, str] = only("component/urls.yaml")["data"]
    return found


def with_component(template: Manifest) -> Manifest:
    """Return a pod template as the component leaves it, the image's tag apart."""
    pod = copy.deepcopy(patched(template, component_patch()))
    first = pod["spec"]["containers"][0]
    held = {entry["name"]: entry for entry in first.get("env", ())}
    told = {name: {"name": name, "value": value} for name, value in urls().items()}
    first["env"] = list({**held, **told}.values())
    return pod


def template(example: str) -> Manifest:
    """Return the pod template of an example, without the sidecar."""
    found: Manifest = only(f"examples/{example}/{EXAMPLES[example]}")["spec"]["template"]
    return found


def canonical(pod: Manifest) -> Manifest:
    """Return what matters of a pod template; the order of volumes and apps' variables does not."""
    pod = copy.deepcopy(pod)
    pod["spec"]["volumes"] = sorted(pod["spec"].get("volumes", ()), key=lambda v: str(v["name"]))
    for container in pod["spec"]["containers"]:
        container["env"] = sorted(container.get("env", ()), key=lambda e: str(e["name"]))
    return {
        "labels": pod.get("metadata", {}).get("labels", {}),
        "spec": pod["spec"],
    }


def sidecar_of(pod: Manifest) -> Manifest:
    """Return the sidecar's container."""
    (found,) = (c for c in pod["spec"]["initContainers"] if c["name"] == "llm-sidecar")
    container: Manifest = found
    return container
