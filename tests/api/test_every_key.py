"""Every documented key of every Velt-compatible endpoint has a known fate, shown by a real call.

A key is forwarded to Velt, stored here, refused, or named in `warnings`. A key that is added to a schema and
not to the table below fails: nothing is dropped without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from resolver.api.openapi.mirror import CHECKED
from resolver.velt import requests
from resolver.velt.client import VeltEndpoint
from tests.support import JSON, Api, Velt, notification

V, S, W, R = "forwarded", "stored", "warned", "refused"
PERSON = {"userId": "dan", "name": "Dan Private"}
ORGANIZATION = {"organizationId": "acme"}
# The keys that a call needs besides the one under test.
BASES: dict[VeltEndpoint, JSON] = {
    VeltEndpoint.ADD: notification(notificationId="n-2"),
    VeltEndpoint.GET: {**ORGANIZATION, "documentId": "doc-1"},
    VeltEndpoint.DELETE: {**ORGANIZATION, "notificationIds": ["n-1"]},
    VeltEndpoint.CONFIG_SET: {**ORGANIZATION, "userIds": ["ben"], "config": {"inbox": "ALL"}},
    VeltEndpoint.CONFIG_GET: {**ORGANIZATION, "userId": "ben"},
    VeltEndpoint.WORKSPACE_GET: {},
    VeltEndpoint.WORKSPACE_UPDATE: {"useNotificationService": True},
}
TEXTS: dict[str, tuple[Any, set[str]]] = {
    "displayHeadlineMessageTemplate": ("A headline", {S}),
    "displayHeadlineMessageTemplateData": ({"key": "value"}, {S}),
    "displayBodyMessage": ("A body", {S}),
    "displayBodyMessageTemplate": ("A template", {S}),
    "displayBodyMessageTemplateData": ({"key": "value"}, {S}),
    "notificationSourceData": ({"key": "value"}, {S}),
}
# Velt's own name for a key: a value, and what becomes of it. `None`: the value that the base has.
KEYS: dict[VeltEndpoint, dict[str, tuple[Any, set[str]]]] = {
    VeltEndpoint.ADD: {
        "organizationId": (None, {V, S}),
        "documentId": (None, {V, S}),
        "notificationId": (None, {V, S}),
        "actionUser": (PERSON, {V, S}),
        "notifyUsers": ([PERSON], {V, S}),
        "notifyAll": (False, {V, S}),
        "verifyUserPermissions": (True, {V, S}),
        "createOrganization": (True, {V}),
        "createDocument": (True, {V}),
        "isCrossOrganizationEnabled": (True, {V}),
        "isNotificationResolverUsed": (True, {V}),
        "notificationSource": ("custom", {V}),
        **TEXTS,
        "context": ({"access": {"team": "red"}}, {V, S}),
        "locationId": ("place-1", {V, S}),
        "location": ({"id": "place-1", "locationName": "A place"}, {V, S}),
        "metadata": ({"key": "value"}, {S}),
    },
    VeltEndpoint.GET: {
        "organizationId": (None, {V}),
        "documentId": (None, {V}),
        "userId": ("ben", {V}),
        "locationId": ("place-1", {V}),
        "notificationIds": (["n-1"], {V}),
        "pageSize": (5000, {V}),
        "pageToken": ("p1", {V}),
        "order": ("asc", {V}),
    },
    VeltEndpoint.DELETE: {
        "organizationId": (None, {V}),
        "documentId": ("doc-1", {V}),
        "locationId": ("place-1", {V}),
        "userId": ("ben", {V}),
        "notificationIds": (None, {V}),
    },
    VeltEndpoint.CONFIG_SET: {
        "organizationId": (None, {V}),
        "userIds": (None, {V}),
        "config": (None, {V}),
        "documentIds": (["doc-1"], {V}),
    },
    VeltEndpoint.CONFIG_GET: {
        "organizationId": (None, {V}),
        "userId": (None, {V}),
        "documentIds": (["doc-1"], {V}),
        "getOrganizationConfig": (True, {V}),
    },
    VeltEndpoint.WORKSPACE_GET: {},
    VeltEndpoint.WORKSPACE_UPDATE: {
        "useNotificationService": (None, {V}),
        "notificationServiceConfig": ({"delayConfig": {"isEnabled": True}}, {V}),
    },
}
UPDATE_KEYS: dict[str, tuple[Any, set[str]]] = {
    "organizationId": (None, {V}),
    "documentId": ("doc-1", {V}),
    "locationId": ("place-1", {V}),
    "userId": ("ben", {V}),
    "verifyUserPermissions": (True, {V, S}),
}
ENTRY_KEYS: dict[str, tuple[Any, set[str]]] = {
    "id": (None, {V}),
    "actionUser": (PERSON, {V, S}),
    "notifyUsers": ([PERSON], {V, S}),
    "notifyAll": (False, {S, W}),
    "context": ({"access": {"team": "red"}}, {V, S}),
    "readByUserIds": (["ben"], {V}),
    "persistReadForUsers": (True, {V}),
    "location": ({"id": "place-1", "locationName": "A place"}, {V, S}),
    "metadata": ({"key": "value"}, {S}),
    **TEXTS,
    # Documented elsewhere, in samples of the SDKs or of Velt's types, and stripped or fixed at Velt.
    "isRead": (True, {W}),
    "read": (True, {W}),
    "isArchived": (True, {W}),
    "isUnread": (False, {W}),
    "isNotificationResolverUsed": (True, {W}),
    "notificationSource": ("custom", {W}),
    "timestamp": (1, {W}),
    "documentId": ("doc-1", {R}),
    "locationId": ("place-1", {R}),
    "verifyUserPermissions": (True, {R}),
}
# What a record calls a key that isn't found in it under Velt's name.
KEPT_AS = {
    "organizationId": "organizationId",
    "documentId": "documentId",
    "notificationId": "notificationId",
    "notifyUsers": "audience",
    "notifyAll": "notifyAll",
    "verifyUserPermissions": "verifyUserPermissions",
}
IN_HEADER = {"audience": ["dan"], "notifyAll": False, "verifyUserPermissions": True}


def test_every_key_of_the_schemas_has_an_entry_here() -> None:
    missing = {
        str(endpoint): schema.fields.keys() - KEYS[endpoint].keys() for endpoint, schema in CHECKED.items()
    }
    missing["update"] = requests.UPDATE.fields.keys() - UPDATE_KEYS.keys()
    missing["update's entries"] = requests.ENTRY.fields.keys() - ENTRY_KEYS.keys()
    assert not {name: keys for name, keys in missing.items() if keys}
    assert CHECKED.keys() | {VeltEndpoint.UPDATE} == set(VeltEndpoint)


def cases() -> Iterator[Any]:
    for endpoint, keys in KEYS.items():
        for name, (value, fate) in keys.items():
            yield pytest.param(endpoint, name, value, fate, id=f"{endpoint.name.lower()} {name}")


@pytest.mark.parametrize(("endpoint", "name", "value", "fate"), list(cases()))
def test_documented_key_has_the_fate_that_is_written_down(  # noqa: PLR0917 - a table's columns
    api: Api, velt: Velt, endpoint: VeltEndpoint, name: str, value: Any, fate: set[str]
) -> None:
    api.add()
    asked = {**BASES[endpoint], **({} if value is None else {name: value})}
    assert fates(api, velt, endpoint, asked, name, "n-2") == fate


@pytest.mark.parametrize(("name", "value", "fate"), [(k, *v) for k, v in UPDATE_KEYS.items()])
def test_documented_filter_of_an_update_has_the_fate_that_is_written_down(
    make_api: Any, velt: Velt, name: str, value: Any, fate: set[str]
) -> None:
    api = make_api(RESOLVER_READ_POLICY="document", RESOLVER_PERMISSION_URL="http://127.0.0.1:1/")
    api.add(locationId="place-1")
    entry = {"id": "n-1", "displayBodyMessage": "A body", "readByUserIds": ["ben"]}
    asked = {**ORGANIZATION, "notifications": [entry], **({} if value is None else {name: value})}
    assert fates(api, velt, VeltEndpoint.UPDATE, asked, name, "n-1") == fate


@pytest.mark.parametrize(("name", "value", "fate"), [(k, *v) for k, v in ENTRY_KEYS.items()])
def test_documented_key_of_an_updates_entry_has_the_fate_that_is_written_down(
    api: Api, velt: Velt, name: str, value: Any, fate: set[str]
) -> None:
    api.add(notifyAll=True)
    entry = {"id": "n-1", "readByUserIds": ["ben"], **({} if value is None else {name: value})}
    asked = {**ORGANIZATION, "notifications": [entry]}
    assert fates(api, velt, VeltEndpoint.UPDATE, asked, name, "n-1") == fate


def fates(api: Api, velt: Velt, endpoint: VeltEndpoint, asked: JSON, name: str, id_: str) -> set[str]:  # noqa: PLR0917
    """Return the fate of a key: found at Velt, in the record, in the reply's warnings, or in its refusal."""
    before, had = len(velt.ledger(endpoint)), is_stored(api, id_, name, asked)
    reply = api.velt(endpoint.removeprefix("/v2/"), asked).get_json()
    if "error" in reply:
        assert name in reply["error"]["message"]
        return {R}
    sent = velt.sent(endpoint)[before:]
    parts = [part for data in sent for part in (data, *data.get("notifications", ()))]
    found = {V} if any(name in part for part in parts) else set()
    if endpoint in (VeltEndpoint.ADD, VeltEndpoint.UPDATE) and not had and is_stored(api, id_, name, asked):
        found.add(S)
    result = reply["result"]
    warnings = [*result.get("warnings", ()), *in_data(result)]
    return found | ({W} if any(line.startswith(name) for line in warnings) else set())


def in_data(result: JSON) -> list[str]:
    data = result.get("data")
    listed = data.get("warnings", []) if isinstance(data, dict) else []
    return listed if isinstance(listed, list) else []


def is_stored(api: Api, id_: str, name: str, asked: JSON) -> bool:
    """Whether the record has the value that was sent."""
    held = api.services.store.read("acme", [id_])
    if not held:
        return False
    record = held[id_].described()
    kept = KEPT_AS.get(name)
    if kept in IN_HEADER:
        return bool(record[kept] == IN_HEADER[kept]) and name != "id"
    given = asked.get(name, asked.get("notifications", [{}])[0].get(name))
    if kept:
        return bool(record[kept] == given) and "notifications" not in asked
    return given is not None and given in (record["content"].get(name), record["backendOnly"].get(name))
