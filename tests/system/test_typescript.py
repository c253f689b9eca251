"""The official types take what the running service really answers.

`@veltdev/types` names the fields of a content, `notificationId` alone as required, and takes any other key.
So it covers the reply around them, which of those fields are strings and which objects, and the people in a
template's data. It says nothing of what the SDK does with them, nor of limits, statuses and headers.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.guides import blocks
from tests.support import BACKEND, JSON, notification, signed
from tests.system import npm
from tests.system.conftest import Served, serving

pytestmark = pytest.mark.system
PACKAGES = ("@veltdev/types@6.0.6", "typescript@5.9.3")
CONTENTS = "ResolverResponse<Record<string, PartialNotification>>"
NOTHING = "ResolverResponse<undefined>"
HEAD = """import type {
  DeleteNotificationResolverRequest, GetNotificationResolverRequest, NotificationDataProvider,
  PartialNotification, ResolverResponse, Velt, VeltDataProvider,
} from "@veltdev/types";
"""
BY_FUNCTION = """
const byFunction: NotificationDataProvider = {
  get: async (request: GetNotificationResolverRequest) => (request.notificationIds.length ? several : none),
  delete: async (request: DeleteNotificationResolverRequest) => (request.notificationId ? deleted : refused),
};
const all: VeltDataProvider = { notification: byFunction };
export { all, unauthenticated, withheld, asked };
"""
OFFICIAL_CLIENT = """
declare const client: Velt;
"""
EVERY_KIND: dict[str, JSON] = {
    "plain": {},
    "bare": {
        "displayHeadlineMessageTemplate": None,
        "displayHeadlineMessageTemplateData": None,
        "displayBodyMessage": None,
        "isNotificationResolverUsed": True,
    },
    "templated": {
        "displayBodyMessageTemplate": "{count} files by {actionUser}",
        "displayBodyMessageTemplateData": {"count": "3", "actionUser": {"userId": "ana"}},
        "displayHeadlineMessageTemplateData": {
            "actionUser": {"userId": "ana", "name": "Ana Lima", "photoUrl": "https://app.example.com/a.png"},
            "recipientUser": {"userId": "ben", "email": "ben@example.com"},
            "actionMessage": "shared",
        },
    },
    "custom": {"notificationSourceData": {"route": ["/a", 1, None]}, "ourOwn": {"deep": [True, 1.5]}},
}
WRONG: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("success",), "true"),
    (("statusCode",), "200"),
    (("data", "plain", "notificationId"), 7),
    (("data", "plain", "displayBodyMessage"), {"text": "x"}),
    (("data", "plain", "displayHeadlineMessageTemplate"), ["x"]),
    (("data", "templated", "displayBodyMessageTemplate"), 1),
    (("data", "templated", "displayBodyMessageTemplateData"), "x"),
    (("data", "templated", "displayHeadlineMessageTemplateData", "actionMessage"), 3),
    (("data", "templated", "displayHeadlineMessageTemplateData", "recipientUser", "userId"), 4),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project with Velt's types and a compiler in it."""
    folder = tmp_path_factory.mktemp("typescript")
    npm.install(folder, *PACKAGES)
    return folder


@pytest.fixture
def served(resolver_environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    changes = {"RESOLVER_WITHHELD_HEADLINE": "Open the document to read it"}
    with serving({**resolver_environment, **changes}, tmp_path / "log") as running:
        for id_, change in EVERY_KIND.items():
            given = {k: v for k, v in notification(notificationId=id_, **change).items() if v is not None}
            added = post(served=running, path="/v2/notifications/add", body={"data": given}, headers=BACKEND)
            assert "result" in added, added
        yield running


def post(*, served: Served, path: str, body: JSON, headers: dict[str, str]) -> JSON:
    reply: JSON = urllib3.request("POST", served.url + path, json=body, headers=headers, retries=False).json()
    return reply


@pytest.fixture
def captured(served: Served) -> dict[str, tuple[str, JSON]]:
    """Return the type of each real answer, and the answer."""

    def ask(name: str, user: str, **body: Any) -> JSON:
        token = {"authorization": f"Bearer {signed(user, 'acme')}"} if user else {}
        path = f"/api/velt/notifications/{name}"
        return post(served=served, path=path, body={"organizationId": "acme", **body}, headers=token)

    several = list(EVERY_KIND)
    found = {
        "several": (CONTENTS, ask("get", "ben", notificationIds=several)),
        "withheld": (CONTENTS, ask("get", "zoe", notificationIds=several)),
        "none": (CONTENTS, ask("get", "ben", notificationIds=[])),
        "unauthenticated": (CONTENTS, ask("get", "", notificationIds=several)),
        "refused": (NOTHING, ask("delete", "ben", notificationId=[])),
        "deleted": (NOTHING, ask("delete", "ben", notificationId="plain")),
        "asked": (
            "GetNotificationResolverRequest",
            {"organizationId": "acme", "notificationIds": several},
        ),
    }
    assert found["several"][1]["data"].keys() == EVERY_KIND.keys()
    assert found["withheld"][1]["data"].keys() == EVERY_KIND.keys()
    assert [found[name][1]["success"] for name in ("unauthenticated", "refused", "deleted")] == [
        False,
        False,
        True,
    ]
    return found


Compile = Callable[..., list[str]]


@pytest.fixture
def compiled(project: Path, tmp_path: Path) -> Compile:
    """Compile all files strictly, and return the compiler's errors, one a line. The package's own files are
    not checked, since they import others that are not installed."""

    def run(**files: str) -> list[str]:
        folder = project / tmp_path.name
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.ts").write_text(text, encoding="utf-8")
        checks = (
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--pretty",
            "false",
            "--target",
            "es2022",
            "--module",
            "es2022",
        )
        command = ["node_modules/.bin/tsc", *checks, "--moduleResolution", "bundler"]
        done = subprocess.run(
            [*command, *(f"{folder.name}/{name}.ts" for name in files)],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode == 0) == (done.stdout == ""), done
        return [line for line in done.stdout.splitlines() if not line.startswith(" ")]

    return run


def constants(captured: dict[str, tuple[str, JSON]]) -> str:
    lines = [
        f"const {name}: {kind} = {json.dumps(value, indent=2)};" for name, (kind, value) in captured.items()
    ]
    return "\n".join((HEAD, *lines, BY_FUNCTION))


def changed(reply: JSON, path: tuple[str, ...], value: Any) -> JSON:
    copied = copy.deepcopy(reply)
    at = copied
    for name in path[:-1]:
        at = at[name]
    assert path[-1] in at, path
    at[path[-1]] = value
    return copied


def test_real_answers_are_what_the_official_types_say(
    captured: dict[str, tuple[str, JSON]], compiled: Compile
) -> None:
    assert compiled(answers=constants(captured)) == []


def test_answer_with_a_field_of_another_type_does_not_compile(
    captured: dict[str, tuple[str, JSON]], compiled: Compile
) -> None:
    kind, reply = captured["several"]
    files = {
        f"wrong_{number}": constants({**captured, "several": (kind, changed(reply, path, value))})
        for number, (path, value) in enumerate(WRONG)
    }
    errors = compiled(**files)
    for number, (path, _) in enumerate(WRONG):
        (error,) = [line for line in errors if f"wrong_{number}.ts" in line]
        place = re.search(r"\((\d+),", error)
        assert place
        assert f'"{path[-1]}":' in files[f"wrong_{number}"].splitlines()[int(place[1]) - 1], error


def test_guide_provider_has_the_type_of_the_official_client(compiled: Compile) -> None:
    (provider,) = [block.text for block in blocks("frontend.md") if block.file == "provider.js"]
    typed = provider.replace("const notification =", "const notification: NotificationDataProvider =")
    assert typed != provider
    (plain,) = [
        block.text for block in blocks("frontend.md") if 'from "./provider.js";\n\nclient.' in block.text
    ]
    _, _, used = plain.partition("\n")
    assert "client.setDataProviders({ notification });" in used
    right = HEAD + OFFICIAL_CLIENT + typed + used
    wrong = right.replace("url:", "uri:")
    assert wrong != right
    errors = compiled(right=right, wrong=wrong)
    assert errors
    assert all("wrong.ts" in error and "'uri'" in error for error in errors), errors
