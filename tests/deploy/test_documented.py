"""docs/operations.md names files that are shipped, and the numbers that are in them."""

from __future__ import annotations

import re

from tests.deploy.kubernetes import in_kubernetes, pods
from tests.deploy.process import ROOT

OPERATIONS = (ROOT / "docs/operations.md").read_text()


def test_every_file_in_a_command_is_shipped() -> None:
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", OPERATIONS, re.DOTALL))
    # The first are made by the commands themselves; the last is kubectl's name of a Deployment.
    others = r"deploy/(kubernetes/)?private|deploy/\.env|deploy/inside"
    named = {path for path in re.findall(r"\bdeploy/[\w./*-]+", commands) if not re.match(others, path)}
    assert len(named) >= 10
    assert [path for path in named if not list(ROOT.glob(path))] == []


def test_stop_time_of_a_pod_is_as_documented() -> None:
    stopping = OPERATIONS.split("- **Stopping**: 5 s")[1].split("- **The network**")[0]
    callback = next(process for process in in_kubernetes() if process.name == "kubernetes callback")
    assert callback.uses_up == 5
    assert f"`RESOLVER_DRAIN_SECONDS` ({callback.environment['RESOLVER_DRAIN_SECONDS']})" in stopping
    grace = pods()["callback"]["spec"]["terminationGracePeriodSeconds"]
    assert f"`terminationGracePeriodSeconds` ({grace})" in stopping
