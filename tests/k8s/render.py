"""Write the examples as they are applied, for linters: ``python -m tests.k8s.render FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tests.k8s.manifests import EXAMPLES, K8S, only, sidecar_of, with_component


def render(folder: Path) -> None:
    """Write the workloads with the sidecar in them, and everything else as it is."""
    for example, file in EXAMPLES.items():
        workload = only(f"examples/{example}/{file}")
        pod = with_component(workload["spec"]["template"])
        (image,) = only(f"examples/{example}/kustomization.yaml")["images"]
        sidecar_of(pod)["image"] = f"{image['name']}:{image['newTag']}"
        workload["spec"]["template"] = pod
        (folder / f"{example}.yaml").write_text(yaml.safe_dump(workload), encoding="utf-8")
    for name in ("base", "injection", "network", "examples/python"):
        for source in (K8S / name).glob("*.yaml"):
            if source.name not in (*EXAMPLES.values(), "kustomization.yaml"):
                text = source.read_text(encoding="utf-8")
                (folder / source.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    render(Path(sys.argv[1]))
