"""`deploy/kubernetes/`, as kustomize reads it."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from tests.deploy.docker import image_environment
from tests.deploy.process import DEPLOY, Process, Yaml

KUBERNETES = DEPLOY / "kubernetes"


def kustomization() -> Yaml:
    found: Yaml = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    return found


def manifests() -> list[Yaml]:
    return [
        manifest
        for name in kustomization()["resources"]
        for manifest in yaml.safe_load_all((KUBERNETES / name).read_text())
    ]


def of_kind(kind: str) -> dict[str, Yaml]:
    return {m["metadata"]["name"]: m for m in manifests() if m["kind"] == kind}


def pods() -> dict[str, Yaml]:
    """Return the pod of each Deployment, by the Deployment's name."""
    return {name: d["spec"]["template"] for name, d in of_kind("Deployment").items()}


def container(pod: Yaml) -> Yaml:
    (only,) = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def in_kubernetes() -> Iterator[Process]:
    for name, pod in pods().items():
        runs = container(pod)
        command = runs["args"][0]
        environment = image_environment()
        for source in runs["envFrom"]:
            environment |= of_kind("ConfigMap")[source["configMapRef"]["name"]]["data"]
        environment |= {variable["name"]: variable["value"] for variable in runs.get("env", [])}
        sleep = runs.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        grace = pod["spec"]["terminationGracePeriodSeconds"]
        yield Process(f"kubernetes {name}", command, environment, grace, int(sleep[1]))
