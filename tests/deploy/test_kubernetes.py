"""deploy/kubernetes/: valid, confined, and without a name that nothing has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from resolver.api.callback import PREFIX
from resolver.app import create_app
from resolver.config import load
from tests.deploy.docker import dockerfile
from tests.deploy.kubernetes import (
    KUBERNETES,
    container,
    in_kubernetes,
    kustomization,
    manifests,
    of_kind,
    pods,
)
from tests.deploy.process import BACKEND_SECRETS, Yaml
from tests.support import environment

RELEASE = "1.34"
PODS = pods()
WEB = {name: pod for name, pod in PODS.items() if container(pod)["args"] == ["serve"]}

every_pod = pytest.mark.parametrize("name", sorted(PODS))
every_web = pytest.mark.parametrize("name", sorted(WEB))


def labels(name: str) -> dict[str, str]:
    found: dict[str, str] = PODS[name]["metadata"]["labels"]
    return found


def selected(selector: Yaml) -> set[str]:
    """Return the Deployments whose pods this selector selects."""
    wanted = selector.get("matchLabels", {}).items()
    return {name for name in PODS if wanted <= labels(name).items()}


def port_of(name: str) -> int:
    (port,) = container(WEB[name])["ports"]
    assert port["name"] == "http"
    return int(port["containerPort"])


def refuses(manifest: Yaml) -> bool:
    try:
        kubernetes_validate.validate(manifest, RELEASE, strict=True)
    except kubernetes_validate.ValidationError:
        return True
    return False


@pytest.mark.parametrize("manifest", manifests(), ids=lambda m: f"{m['kind']} {m['metadata']['name']}")
def test_manifests_match_the_schemas_of_kubernetes(manifest: Yaml) -> None:
    assert not refuses(manifest)


def test_schema_check_finds_a_misspelt_field() -> None:
    wrong: Yaml = json.loads(json.dumps(of_kind("Deployment")["callback"]))
    container(wrong["spec"]["template"])["securityContext"]["readOnlyRootFilesytem"] = True
    assert refuses(wrong)


def test_kustomization_names_every_file_and_no_other() -> None:
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization()["resources"]) == files


def test_every_generated_secret_is_made_by_the_script(private: Path) -> None:
    generated = [*kustomization()["secretGenerator"], *kustomization()["configMapGenerator"]]
    files = [file.removeprefix("private/") for generator in generated for file in generator["files"]]
    assert [file for file in files if not (private / file).is_file()] == []


@every_pod
def test_pods_meet_the_restrictions_of_their_namespace(name: str) -> None:
    enforced = of_kind("Namespace")["velt-resolver"]["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"
    pod, inner = PODS[name]["spec"]["securityContext"], container(PODS[name])["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == dockerfile()["USER"]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner["allowPrivilegeEscalation"] is False
    assert inner["readOnlyRootFilesystem"] is True
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert PODS[name]["spec"]["automountServiceAccountToken"] is False


@every_pod
def test_pods_request_resources_and_are_spread(name: str) -> None:
    resources = container(PODS[name])["resources"]
    assert {"cpu", "memory"} <= resources["requests"].keys()
    assert "memory" in resources["limits"]
    for constraint in PODS[name]["spec"]["topologySpreadConstraints"]:
        assert selected(constraint["labelSelector"]) == {name}


@every_pod
def test_every_mount_has_its_volume_and_every_file_its_mount(name: str) -> None:
    volumes = {volume["name"]: volume for volume in PODS[name]["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container(PODS[name])["volumeMounts"]}
    assert set(mounts.values()) == volumes.keys()
    given = next(p for p in in_kubernetes() if p.name == f"kubernetes {name}").environment
    places = [value for value in given.values() if value.startswith("/")]
    assert [p for p in places if not any(p.startswith(mount) for mount in mounts)] == []
    generated = {g["name"]: g for g in kustomization()["secretGenerator"]}
    secret = volumes["secrets"]["secret"]
    keys = {file.rpartition("/")[2] for file in generated[secret["secretName"]]["files"]}
    mounted = {item["path"] for item in secret["items"]} if "items" in secret else keys
    assert {p.rpartition("/")[2] for p in places if p.startswith("/run/secrets/")} == mounted
    assert mounted <= keys


def test_internet_facing_pod_gets_no_secret_of_backends() -> None:
    (volume,) = [v for v in PODS["callback"]["spec"]["volumes"] if v["name"] == "secrets"]
    items = volume["secret"]["items"]
    assert all(item["key"] == item["path"] for item in items)
    assert not {item["key"] for item in items} & BACKEND_SECRETS
    callback = next(p for p in in_kubernetes() if p.name == "kubernetes callback")
    assert not callback.secrets & BACKEND_SECRETS


@every_pod
def test_certificates_outlive_pods_on_every_node_and_only_the_worker_writes_them(name: str) -> None:
    (volume,) = [v for v in PODS[name]["spec"]["volumes"] if v["name"] == "certificates"]
    claim = of_kind("PersistentVolumeClaim")[volume["persistentVolumeClaim"]["claimName"]]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (mount,) = [m for m in container(PODS[name])["volumeMounts"] if m["name"] == "certificates"]
    assert mount.get("readOnly", False) is (name in WEB)


@every_web
def test_probes_use_existing_paths_and_ports(name: str) -> None:
    client = create_app(load(environment())).test_client()
    runs = container(WEB[name])
    for probe, path in {
        "startupProbe": "livez",
        "livenessProbe": "livez",
        "readinessProbe": "readyz",
    }.items():
        asked = runs[probe]["httpGet"]
        assert asked == {"path": f"/{path}", "port": "http"}
        assert client.get(asked["path"]).status_code != 404


@every_web
def test_process_listens_on_the_port_of_its_service(name: str) -> None:
    bind = next(p for p in in_kubernetes() if p.name == f"kubernetes {name}").environment["RESOLVER_BIND"]
    assert bind == f"0.0.0.0:{port_of(name)}"
    assert port_of(name) == dockerfile()["EXPOSE"]


@every_web
def test_readiness_probe_period_is_shorter_than_the_drain(name: str) -> None:
    given = next(p for p in in_kubernetes() if p.name == f"kubernetes {name}").environment
    probe = container(WEB[name])["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < int(given["RESOLVER_DRAIN_SECONDS"])


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget"])
def test_selectors_select_their_own_pods(kind: str) -> None:
    for name, manifest in of_kind(kind).items():
        selector = manifest["spec"]["selector"]
        wanted = {"matchLabels": selector} if kind == "Service" else selector
        assert selected(wanted) == {name}


def test_each_deployment_may_lose_one_pod_at_a_time_and_the_web_is_scaled() -> None:
    assert of_kind("PodDisruptionBudget").keys() == PODS.keys()
    scaled = {
        h["spec"]["scaleTargetRef"]["name"]: h["spec"] for h in of_kind("HorizontalPodAutoscaler").values()
    }
    assert scaled.keys() == WEB.keys()
    assert all(spec["minReplicas"] >= 2 for spec in scaled.values())
    # A number in the Deployment would overwrite the autoscaler's at each `apply`.
    assert all(("replicas" in of_kind("Deployment")[n]["spec"]) is (n not in WEB) for n in PODS)


def ingress() -> Yaml:
    (only,) = of_kind("Ingress").values()
    return only


def test_ingress_routes_data_provider_endpoints_alone() -> None:
    (rule,) = ingress()["spec"]["rules"]
    paths = {path["path"]: path for path in rule["http"]["paths"]}
    assert sorted(paths) == [f"{PREFIX}delete", f"{PREFIX}get"]
    for path in paths.values():
        assert path["pathType"] == "Exact"
        assert path["backend"]["service"] == {"name": "callback", "port": {"name": "http"}}
    assert ingress()["spec"]["tls"][0]["hosts"] == [rule["host"]]
    assert "defaultBackend" not in ingress()["spec"]


def test_internet_facing_pod_serves_data_provider_endpoints_alone() -> None:
    given = next(p for p in in_kubernetes() if p.name == "kubernetes callback").environment
    assert given["RESOLVER_SURFACES"] == "callback,metrics"


def test_forwarded_headers_of_one_proxy_are_trusted_behind_the_ingress() -> None:
    given = {p.name: p.environment.get("RESOLVER_TRUSTED_PROXIES", "0") for p in in_kubernetes()}
    assert given == {"kubernetes callback": "1", "kubernetes inside": "0", "kubernetes worker": "0"}


def test_ingress_limits_bodies_like_the_shipped_nginx_and_keeps_them_in_memory() -> None:
    annotations = ingress()["metadata"]["annotations"].items()
    sizes = {value for name, value in annotations if name.endswith(("body-size", "buffer-size"))}
    assert sizes == {"128k"}


def policies(pod: str, way: str) -> list[dict[str, Any]]:
    """Return the rules for traffic to such a pod, or from it."""
    return [
        rule
        for policy in of_kind("NetworkPolicy").values()
        if pod in selected(policy["spec"]["podSelector"])
        and way.capitalize() in policy["spec"]["policyTypes"]
        for rule in policy["spec"].get(way, [])
    ]


def test_network_policies_deny_traffic_by_default() -> None:
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in [
        policy["spec"] for policy in of_kind("NetworkPolicy").values()
    ]


@pytest.mark.parametrize(
    ("pod", "label"),
    [("callback", "kubernetes.io/metadata.name"), ("inside", "velt-resolver/caller"), ("worker", "")],
)
def test_pods_accept_their_callers_and_prometheus_alone(pod: str, label: str) -> None:
    rules = policies(pod, "ingress")
    callers = [name for rule in rules for name in rule["from"][0]["namespaceSelector"]["matchLabels"]]
    assert sorted(callers) == sorted(filter(None, [label, "velt-resolver/monitoring"]))
    for rule in rules:
        assert len(rule["from"]) == 1
        assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]


@every_pod
def test_pods_reach_dns_redis_and_https_outside_alone(name: str) -> None:
    ports = sorted({port["port"] for rule in policies(name, "egress") for port in rule["ports"]})
    assert ports == [53, 443, 6379]
    (https,) = [rule for rule in policies(name, "egress") if rule["ports"][0]["port"] == 443]
    inner = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"}
    assert inner <= set(https["to"][0]["ipBlock"]["except"])
