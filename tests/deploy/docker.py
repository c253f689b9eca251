"""`deploy/Dockerfile` and `deploy/compose.yml`, as Docker reads them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.deploy.process import DEPLOY, Process, Yaml

Instruction = tuple[str, str]


def compose() -> Yaml:
    found: Yaml = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    return found


def resolvers() -> dict[str, Yaml]:
    """Return the services that run the resolver."""
    return {
        name: service
        for name, service in compose()["services"].items()
        if service["image"] == "velt-notification-resolver"
    }


def composed() -> Iterator[Process]:
    for name, service in resolvers().items():
        command = service.get("command", dockerfile()["CMD"])[0]
        environment = {**image_environment(), **service["environment"]}
        yield Process(
            f"compose {name}", command, _asked_for(environment), int(service["stop_grace_period"][:-1])
        )


def _asked_for(environment: Mapping[str, str]) -> dict[str, str]:
    """Return values for the variables that the operator must set (`${NAME:?why}`)."""
    return {
        name: "https://app.example.com" if "${" in value else value for name, value in environment.items()
    }


def instructions() -> list[Instruction]:
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def dockerfile() -> dict[str, Any]:
    """Return the commands that the last stage runs, as lists."""
    last = dict(stages()[-1])
    return {
        "ENTRYPOINT": json.loads(last["ENTRYPOINT"]),
        "CMD": json.loads(last["CMD"]),
        "HEALTHCHECK": json.loads(last["HEALTHCHECK"].partition(" CMD ")[2]),
        "USER": last["USER"],
        "STOPSIGNAL": last["STOPSIGNAL"],
        "EXPOSE": int(last["EXPOSE"]),
    }


def image_environment() -> dict[str, str]:
    """Return the settings that the image sets."""
    words = shlex.split(dict(stages()[-1])["ENV"])
    pairs = dict(word.split("=", 1) for word in words)
    return {name: value for name, value in pairs.items() if re.match("RESOLVER_|WEB_", name)}
