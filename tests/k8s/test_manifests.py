"""The Kubernetes manifests as data: they must agree with the code they start."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.cli.main import _parser
from sidecar.config.load import load_text
from sidecar.server import data, doors, health
from tests.k8s.manifests import (
    EXAMPLES,
    K8S,
    ROOT,
    component_patch,
    documents,
    only,
    sidecar_of,
    template,
    urls,
    with_component,
)

if TYPE_CHECKING:
    from sidecar.config.model import Config

SECRETS = "/var/run/secrets/llm"
IDLE_BYTES = 64 * 1024 * 1024
UNITS = {"Mi": 1024**2, "Gi": 1024**3}


def pod() -> dict[str, Any]:
    """Return the specification of the Python example's pod."""
    spec: dict[str, Any] = with_component(template("python"))["spec"]
    return spec


def sidecar() -> dict[str, Any]:
    """Return the sidecar's container."""
    return sidecar_of({"spec": pod()})


def secret_keys() -> list[str]:
    """Return the file names in the example Secret."""
    return sorted(only("base/secret.example.yaml")["stringData"])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The ConfigMap's configuration, its keys in files elsewhere."""
    for name in secret_keys():
        (tmp_path / name).write_text("not-a-key\n")
    text = only("base/configmap.yaml")["data"]["sidecar.yaml"].replace(SECRETS, str(tmp_path))
    return load_text(text.encode(), {}, source="configmap.yaml")


def test_the_configuration_is_accepted_without_warning(config: Config) -> None:
    """The configuration in the ConfigMap passes the loader and its resilience advice."""
    assert config.warnings == ()
    assert config.advice == ()


def test_the_kubelet_reaches_the_health_plane_and_nobody_the_others(config: Config) -> None:
    """Health listens on all addresses at the declared port, data and admin on loopback alone."""
    (port,) = sidecar()["ports"]
    assert (port["name"], port["containerPort"]) == ("health", config.listen.health.port)
    assert config.listen.health.host == "0.0.0.0"
    assert config.listen.data.host == config.listen.admin.host == "127.0.0.1"


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probes_lead_to_routes(probe: str) -> None:
    """Every probe asks a path that the health plane serves, at the health port."""
    request = sidecar()[probe]["httpGet"]
    assert request["path"] in health.PATHS
    assert request["port"] == "health"


def test_each_question_has_its_own_probe() -> None:
    """Liveness never depends on readiness: a draining sidecar must not be killed."""
    paths = [sidecar()[f"{word}Probe"]["httpGet"]["path"] for word in ("startup", "liveness")]
    assert [*paths, sidecar()["readinessProbe"]["httpGet"]["path"]] == [
        "/startupz",
        "/livez",
        "/readyz",
    ]


def test_the_grace_covers_the_longest_call_and_the_drain(config: Config) -> None:
    """The pod is killed only after the longest call and the drain, last words included."""
    longest_s = max(route.within_s for route in config.catalogue.routes.values()) + data.STUCK_S
    needed_s = longest_s + config.drain.grace_s
    assert needed_s < pod()["terminationGracePeriodSeconds"]
    text = (K8S / "component" / "sidecar.yaml").read_text(encoding="utf-8")
    assert f"= {needed_s:g} s" in text


def test_request_bodies_fit_the_memory_limit(config: Config) -> None:
    """The process and all bodies it may hold stay within half of the limit."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", sidecar()["resources"]["limits"]["memory"]).groups()  # type: ignore[union-attr]  # a test may fail here
    held = IDLE_BYTES + config.admission.bodies_bytes_max
    assert held <= int(number) * UNITS[unit] // 2


def test_it_is_a_native_sidecar_with_a_command_that_exists() -> None:
    """The sidecar starts before the app and outlives it, by a command line that parses."""
    assert sidecar()["restartPolicy"] == "Always"
    arguments = _parser().parse_args(sidecar()["args"])
    (mount,) = (m for m in sidecar()["volumeMounts"] if m["name"] == "llm-sidecar-config")
    assert arguments.command == "run"
    assert arguments.config == Path(mount["mountPath"]) / "sidecar.yaml"


def test_the_image_starts_what_the_manifest_starts() -> None:
    """The image's own command and ports are the manifest's, and its user is numeric."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert ast.literal_eval(text.partition("\nCMD ")[2].splitlines()[0]) == sidecar()["args"]
    assert f"USER {sidecar()['securityContext']['runAsUser']}:" in text
    assert "EXPOSE 4180 4181 4182" in text
    assert "HEALTHCHECK" not in text


def test_keys_are_files_of_the_secret(config: Config) -> None:
    """Every provider's key is a file of the Secret, which the sidecar alone mounts: it may read
    them as whichever user it is, and the app needs no group for it.
    """
    (volume,) = (v for v in pod()["volumes"] if "secret" in v)
    (mount,) = (m for m in sidecar()["volumeMounts"] if m["name"] == volume["name"])
    files = [target.api_key.file for target in config.targets.values() if target.api_key]
    assert sorted(Path(file or "").name for file in files) == secret_keys()
    assert mount["mountPath"] == SECRETS
    assert volume["secret"]["defaultMode"] == 0o444
    for container in pod()["containers"]:
        assert volume["name"] not in {m["name"] for m in container.get("volumeMounts", ())}


def test_the_component_asks_nothing_of_the_pod_but_time() -> None:
    """What the component sets for the whole pod is its grace: user, groups and account are the
    app's own.
    """
    assert component_patch()["spec"].keys() == {
        "initContainers",
        "terminationGracePeriodSeconds",
        "volumes",
    }


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_mount_is_a_directory_of_a_declared_volume(example: str) -> None:
    """No subPath, which would never be updated, and no volume that nobody declared."""
    spec = with_component(template(example))["spec"]
    names = {volume["name"] for volume in spec["volumes"]}
    for container in (*spec["initContainers"], *spec["containers"]):
        for mount in container.get("volumeMounts", ()):
            assert "subPath" not in mount
            assert mount["readOnly"]
            assert mount["name"] in names


def test_the_base_urls_are_the_data_plane(config: Config) -> None:
    """Every SDK is led to the port that the configuration opens."""
    listen = config.listen.data
    base = f"http://{listen.host}:{listen.port}"
    assert urls() == {
        "OPENAI_BASE_URL": f"{base}/v1",
        "ANTHROPIC_BASE_URL": base,
        "GOOGLE_GEMINI_BASE_URL": base,
    }


def test_the_python_app_asks_for_a_route_that_exists(config: Config) -> None:
    """The example app's model and path lead to the sidecar's configuration."""
    script = only("examples/python/app.yaml")["data"]["app.py"]
    asked = re.search(r'"model": "(\w+)"', script)
    assert asked is not None
    assert config.catalogue.resolve(asked[1]).is_task
    chat = "/chat/completions"
    assert f"POST /v1{chat}" in doors.PATHS
    assert chat in script
    compile(script, "app.py", "exec")


def test_the_shell_asks_for_a_route_that_exists(config: Config) -> None:
    """The Job posts a task's plain form to the data plane."""
    (script,) = template("shell")["spec"]["containers"][0]["args"]
    asked = re.search(r"http://([\d.]+):(\d+)/v1/tasks/(\w+)", script)
    assert asked is not None
    listen = config.listen.data
    assert (asked[1], int(asked[2])) == (listen.host, listen.port)
    assert config.catalogue.resolve(asked[3]).is_task


def test_a_job_never_restarts_its_app_for_ever() -> None:
    """The Job's own containers end; the native sidecar does not keep the pod alive."""
    spec = with_component(template("shell"))["spec"]
    assert spec["restartPolicy"] == "Never"
    assert sidecar_of({"spec": spec})["restartPolicy"] == "Always"


@pytest.mark.parametrize("folder", [f.parent for f in sorted(K8S.rglob("kustomization.yaml"))])
def test_kustomizations_take_what_is_there(folder: Path) -> None:
    """Every manifest beside a kustomization is in it, but for the Secret, which is never written
    over.
    """
    name = str(folder.relative_to(K8S))
    kustomization = only(f"{name}/kustomization.yaml")
    named = [*kustomization["resources"], *(p["path"] for p in kustomization.get("patches", ()))]
    for entry in (*named, *kustomization.get("components", ())):
        assert (folder / entry).exists(), entry
    for generator in kustomization.get("configMapGenerator", ()):
        assert all((folder / file).exists() for file in generator["files"])
    files = {file.name for file in folder.glob("*.yaml") if not file.name.startswith("rules")}
    assert files - {"kustomization.yaml", "secret.example.yaml"} <= set(named)
    for image in kustomization.get("images", ()):
        assert image["name"] == sidecar()["image"]


def test_the_network_policy_is_about_what_listens(config: Config) -> None:
    """From outside only the health port may be reached; out goes DNS and TLS, and never to what
    tells clouds' own credentials.
    """
    policy = only("network/networkpolicy.yaml")["spec"]
    labels = component_patch()["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert only("observability/podmonitor.yaml")["spec"]["selector"]["matchLabels"] == labels
    (ingress,) = policy["ingress"]
    assert [port["port"] for port in ingress["ports"]] == [config.listen.health.port]
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert out == {53, 443}
    blocks = [to["ipBlock"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    assert any("169.254.0.0/16" in block["except"] for block in blocks)
    for target in config.targets.values():
        assert target.base_url.startswith("https://")


def test_telemetry_is_told_who_it_is() -> None:
    """Every attribute that says which pod this is comes from the downward API, or is a constant."""
    env = {entry["name"]: entry for entry in sidecar()["env"]}
    attributes = dict(
        pair.split("=") for pair in env["OTEL_RESOURCE_ATTRIBUTES"]["value"].split(",")
    )
    fields = {}
    for name, value in attributes.items():
        variable = re.fullmatch(r"\$\((\w+)\)", value)
        if variable is not None:
            fields[name] = env[variable[1]]["valueFrom"]["fieldRef"]["fieldPath"]
    assert fields == {
        "k8s.pod.name": "metadata.name",
        "k8s.pod.uid": "metadata.uid",
        "k8s.namespace.name": "metadata.namespace",
        "k8s.node.name": "spec.nodeName",
    }
    assert attributes["k8s.container.name"] == sidecar()["name"]
    assert list(env)[-1] == "OTEL_RESOURCE_ATTRIBUTES", "only variables before it are expanded"
    service = env["OTEL_SERVICE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert service == "metadata.labels['app.kubernetes.io/name']"


def test_the_disruption_budget_is_of_the_example() -> None:
    """The budget selects the example's pods and always lets one go."""
    budget = only("examples/python/pdb.yaml")["spec"]
    labels = template("python")["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["maxUnavailable"] == 1
    assert len(documents("examples/python/deployment.yaml")) == 1
