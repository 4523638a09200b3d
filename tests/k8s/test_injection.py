"""Two ways to the same pod: the component, and the policy that goes by an annotation."""

from __future__ import annotations

import copy
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.k8s.manifests import (
    EXAMPLES,
    K8S,
    Manifest,
    canonical,
    only,
    sidecar_of,
    template,
    urls,
    with_component,
)

pytest.importorskip("celpy", reason="CEL is evaluated by cel-python: install '.[manifests]'")
from tests.k8s.policy import admitted

KUBECTL = shutil.which("kubectl")
BARE: Manifest = {"metadata": {}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
BUSY: Manifest = {
    "metadata": {"labels": {"app.kubernetes.io/name": "busy"}},
    "spec": {
        "terminationGracePeriodSeconds": 30,
        "securityContext": {"fsGroup": 7},
        "initContainers": [
            {"name": "migrate", "image": "app:1"},
            {"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"},
        ],
        "containers": [
            {"name": "app", "image": "app:1", "env": [{"name": "OPENAI_API_KEY", "value": "any"}]},
            {"name": "logs", "image": "logs:1"},
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    },
}
PODS = {"bare": BARE, "busy": BUSY, **{name: template(name) for name in EXAMPLES}}


def annotated(pod: Manifest, **more: str) -> Manifest:
    """Return a pod that asks for the sidecar."""
    pod = copy.deepcopy(pod)
    asked = {"llm-sidecar/inject": "true", **{f"llm-sidecar/{k}": v for k, v in more.items()}}
    pod["metadata"]["annotations"] = asked
    return pod


def tagged(pod: Manifest) -> Manifest:
    """Return a pod of the component with the image that the policy names."""
    (image,) = (
        one["expression"].strip("'")
        for one in only("injection/policy.yaml")["spec"]["variables"]
        if one["name"] == "image"
    )
    assert image.partition(":")[0] == sidecar_of(pod)["image"]
    sidecar_of(pod)["image"] = image
    return pod


@pytest.mark.parametrize("name", PODS)
def test_the_policy_and_the_component_make_the_same_pod(name: str) -> None:
    """One annotation and one line lead to one pod, whatever was in it before."""
    by_component = tagged(with_component(PODS[name]))
    assert canonical(admitted(annotated(PODS[name]))) == canonical(by_component)


def test_the_sidecar_comes_first() -> None:
    """Init containers of the app may call already: the sidecar starts before them."""
    pod = admitted(annotated(BUSY))
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["llm-sidecar", "migrate", "mesh"]


@pytest.mark.parametrize("annotations", [None, {}, {"llm-sidecar/inject": "false"}, {"other": "1"}])
def test_who_does_not_ask_is_left_alone(annotations: dict[str, str] | None) -> None:
    """Every pod of the cluster passes the conditions; they hold for nobody else, and never fail."""
    pod = copy.deepcopy(BUSY)
    if annotations is not None:
        pod["metadata"]["annotations"] = annotations
    assert admitted(pod) == pod


def test_nobody_gets_two() -> None:
    """A pod that has the sidecar, by the component or admitted before, stays as it is."""
    for pod in (annotated(with_component(BUSY)), admitted(annotated(BUSY))):
        assert admitted(pod) == pod


def test_another_configuration_may_be_named() -> None:
    """Annotations choose another ConfigMap and Secret of the namespace."""
    pod = admitted(annotated(BARE, config="mine", keys="my-keys"))
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["llm-sidecar-config"]["configMap"]["name"] == "mine"
    assert volumes["llm-sidecar-keys"]["secret"]["secretName"] == "my-keys"


def test_what_the_app_says_itself_is_kept() -> None:
    """The policy takes away neither a longer grace nor a base URL of the app's own."""
    own = {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:4180/v1/"}
    asking = annotated(BARE)
    asking["spec"]["terminationGracePeriodSeconds"] = 600
    asking["spec"]["containers"][0]["env"] = [own]
    pod = admitted(asking)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 600
    env = pod["spec"]["containers"][0]["env"]
    assert own in env
    assert sorted(entry["name"] for entry in env) == sorted(urls())


def test_no_expression_mixes_types() -> None:
    """Kubernetes refuses lists and maps whose members are of several types: the policy's lists hold
    one type each, and its plain maps strings alone.
    """

    def kinds(value: Any) -> set[type]:
        return {type(member) for member in value}

    def walk(value: Any) -> None:
        if isinstance(value, list):
            assert len(kinds(value)) <= 1, value
            for member in value:
                walk(member)
        elif isinstance(value, dict):
            for member in value.values():
                walk(member)

    walk(admitted(annotated(BARE))["spec"])


def test_the_policy_is_bound() -> None:
    """The binding names the policy, and leaves out where the cluster's own pods live."""
    binding, policy = only("injection/binding.yaml"), only("injection/policy.yaml")
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    (rule,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert (rule["operator"], "kube-system" in rule["values"]) == ("NotIn", True)
    (resources,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (resources["operations"], resources["resources"]) == (["CREATE"], ["pods"])


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl here")
@pytest.mark.parametrize("example", EXAMPLES)
def test_kustomize_makes_the_same(example: str) -> None:
    """The pod that these tests speak of is the one that `kubectl apply -k` makes."""
    command = [KUBECTL or "", "kustomize", str(K8S / "examples" / example)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (workload,) = (one for one in yaml.safe_load_all(text) if one["kind"] in ("Deployment", "Job"))
    pod = workload["spec"]["template"]
    assert canonical(pod) == canonical(tagged(with_component(template(example))))
