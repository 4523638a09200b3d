"""The Kubernetes manifests as data: they must agree with the code they start."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sidecar.app import GOODBYE_S
from sidecar.cli.main import _parser
from sidecar.config.load import load_text
from sidecar.server import data, doors, health

if TYPE_CHECKING:
    from sidecar.config.model import Config

ROOT = Path(__file__).parent.parent
K8S = ROOT / "k8s"
SECRETS = "/var/run/secrets/llm"
IDLE_BYTES = 64 * 1024 * 1024
UNITS = {"Mi": 1024**2, "Gi": 1024**3}


def documents(file: str) -> list[dict[str, Any]]:
    """Return the documents of a manifest."""
    return list(yaml.safe_load_all((K8S / file).read_text(encoding="utf-8")))


def config_map(name: str) -> dict[str, str]:
    """Return the data of a ConfigMap."""
    (found,) = (doc for doc in documents("configmap.yaml") if doc["metadata"]["name"] == name)
    texts: dict[str, str] = found["data"]
    return texts


def pod() -> dict[str, Any]:
    """Return the pod's specification."""
    (deployment,) = documents("deployment.yaml")
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def sidecar() -> dict[str, Any]:
    """Return the sidecar's container."""
    (container,) = pod()["initContainers"]
    found: dict[str, Any] = container
    return found


def app() -> dict[str, Any]:
    """Return the app's container."""
    (container,) = pod()["containers"]
    found: dict[str, Any] = container
    return found


def secret_keys() -> list[str]:
    """Return the file names in the example Secret."""
    (secret,) = documents("secret.example.yaml")
    return sorted(secret["stringData"])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The ConfigMap's configuration, its keys in files elsewhere."""
    for name in secret_keys():
        (tmp_path / name).write_text("not-a-key\n")
    text = config_map("llm-sidecar")["sidecar.yaml"].replace(SECRETS, str(tmp_path))
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
    """The pod is killed only after the longest call, the drain and its last words."""
    longest_s = max(route.within_s for route in config.catalogue.routes.values()) + data.STUCK_S
    needed_s = longest_s + config.drain.grace_s + GOODBYE_S
    assert needed_s < pod()["terminationGracePeriodSeconds"]
    assert f"= {needed_s:g} s" in (K8S / "deployment.yaml").read_text(encoding="utf-8")


def test_request_bodies_fit_the_memory_limit(config: Config) -> None:
    """The process and all bodies it may hold stay within half of the limit."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", sidecar()["resources"]["limits"]["memory"]).groups()  # type: ignore[union-attr]  # a test may fail here
    held = IDLE_BYTES + config.admission.bodies_bytes_max
    assert held <= int(number) * UNITS[unit] // 2


def test_it_is_a_native_sidecar_with_a_command_that_exists() -> None:
    """The sidecar starts before the app and outlives it, by a command line that parses."""
    assert sidecar()["restartPolicy"] == "Always"
    arguments = _parser().parse_args(sidecar()["args"])
    (mount,) = (m for m in sidecar()["volumeMounts"] if m["name"] == "sidecar-config")
    assert arguments.command == "run"
    assert arguments.config == Path(mount["mountPath"]) / "sidecar.yaml"


def test_the_image_starts_what_the_manifest_starts() -> None:
    """The image's own command and ports are the manifest's, and its user is numeric."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert ast.literal_eval(text.partition("\nCMD ")[2].splitlines()[0]) == sidecar()["args"]
    assert f"USER {pod()['securityContext']['runAsUser']}:" in text
    assert "EXPOSE 4180 4181 4182" in text
    assert "HEALTHCHECK" not in text


def test_keys_are_files_of_the_secret(config: Config) -> None:
    """Every provider's key is a file of the mounted Secret, readable to the group alone."""
    (volume,) = (v for v in pod()["volumes"] if "secret" in v)
    (mount,) = (m for m in sidecar()["volumeMounts"] if m["name"] == volume["name"])
    files = [target.api_key.file for target in config.targets.values() if target.api_key]
    assert sorted(Path(file or "").name for file in files) == secret_keys()
    assert mount["mountPath"] == SECRETS
    assert volume["secret"]["defaultMode"] == 0o440


def test_every_mount_is_a_directory_of_a_declared_volume() -> None:
    """No subPath, which would never be updated, and no volume that nobody declared."""
    names = {volume["name"] for volume in pod()["volumes"]}
    for mount in (*sidecar()["volumeMounts"], *app()["volumeMounts"]):
        assert "subPath" not in mount
        assert mount["readOnly"]
        assert mount["name"] in names


@pytest.mark.parametrize("container", [sidecar(), app()], ids=["sidecar", "app"])
def test_containers_are_restricted(container: dict[str, Any]) -> None:
    """Both containers meet the restricted pod security standard, on a read-only root."""
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"memory"}


def test_the_pod_is_restricted() -> None:
    """The pod runs as nobody's root and holds no token of the cluster."""
    context = pod()["securityContext"]
    assert context["runAsNonRoot"]
    assert context["runAsUser"] == context["fsGroup"] == 65532
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False


def test_the_app_calls_the_data_plane_by_a_route_that_exists(config: Config) -> None:
    """The example app's base URL and model lead to the sidecar's configuration."""
    (url,) = (entry["value"] for entry in app()["env"] if entry["name"] == "OPENAI_BASE_URL")
    listen = config.listen.data
    script = config_map("example-app")["app.py"]
    asked = re.search(r'"model": "(\w+)"', script)
    assert url == f"http://{listen.host}:{listen.port}/v1"
    assert asked is not None
    assert config.catalogue.resolve(asked[1]).is_task
    chat = "/chat/completions"
    assert f"POST /v1{chat}" in doors.PATHS
    assert chat in script
    compile(script, "app.py", "exec")


def test_kustomize_takes_every_manifest_but_the_secret() -> None:
    """`kubectl apply -k` applies what is here and never overwrites the real Secret."""
    (kustomization,) = documents("kustomization.yaml")
    manifests = {file.name for file in K8S.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == manifests - {"secret.example.yaml"}
    assert [image["name"] for image in kustomization["images"]] == [sidecar()["image"]]
