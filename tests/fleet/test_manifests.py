"""The examples for Kubernetes: sections that load, and a store under the same restrictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.config.load import load_text
from sidecar.errors import ConfigError

K8S = Path(__file__).parents[2] / "k8s" / "fleet"
PROVIDER = """
providers:
  a: {kind: openai, base_url: "http://127.0.0.1:1/v1"}
models:
  m: {provider: a, model: x, price: {input: 1, output: 2}, context: 1000}
"""


@pytest.mark.parametrize("name", ["sidecar-fleet", "sidecar-managed"])
def test_the_sections_load(name: str, tmp_path: Path) -> None:
    """Each example section is accepted beside a provider."""
    (tmp_path / "fleet").write_text("not-a-key\n")
    section = (K8S / f"{name}.yaml").read_text(encoding="utf-8")
    section = section.replace("/var/run/secrets/llm", str(tmp_path))
    config = load_text((PROVIDER + section).encode(), {}, source="c.yaml")
    assert config.fleet is not None
    assert config.fleet.namespace == "example"
    assert config.fleet.username == "sidecar"


def test_the_store_is_restricted_and_found() -> None:
    """The example's service leads to its pod, which runs as nobody's root on a read-only root."""
    documents: list[dict[str, Any]] = list(
        yaml.safe_load_all((K8S / "valkey.yaml").read_text(encoding="utf-8"))
    )
    deployment = next(one for one in documents if one["kind"] == "Deployment")
    service = next(one for one in documents if one["kind"] == "Service")
    pod = deployment["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    fleet = yaml.safe_load((K8S / "sidecar-fleet.yaml").read_text(encoding="utf-8"))["fleet"]
    assert fleet["url"] == f"valkey://{service['metadata']['name']}:6379"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{url: 'http://x'}", "expected the URL of a store"),
        ("{url: 'redis://user:hunter2@x'}", "expected a URL without credentials"),
        ("{url: 'redis://x:port'}", "expected the URL of a store"),
        ("{url: 'redis://x/name'}", "expected the number of a database"),
        ("{username: a}", "is of no use without url"),
        ("{url: 'redis://x', ca: /nowhere.pem}", "do not exist"),
        ("{url: 'redis://x', password: {env: NO_SUCH}}", "is not set"),
        ("{url: 'redis://x', namespace: 'a}b'}", "namespace"),
    ],
)
def test_mistakes_are_named(section: str, said: str) -> None:
    """What cannot be used is refused at start, and no secret is shown."""
    with pytest.raises(ConfigError) as raised:
        load_text(f"{PROVIDER}fleet: {section}\n".encode(), {}, source="c.yaml")
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://h:1/3",
        "valkey://[::1]:6379",
        "valkeys+cluster://h:1",
        "valkey+sentinel://a:26379,b:26379/main/0",
    ],
)
def test_urls_that_are_understood(url: str) -> None:
    """Plain, TLS, cluster and sentinel, by either name."""
    config = load_text(f"{PROVIDER}fleet: {{url: '{url}'}}\n".encode(), {}, source="c.yaml")
    assert config.fleet is not None
    assert config.fleet.url == url
