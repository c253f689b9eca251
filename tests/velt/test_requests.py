"""Requests that Velt accepts, and those that are refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from resolver.errors import InvalidArgument
from resolver.velt import config_requests, requests
from resolver.velt.schema import Request
from tests.support import JSON, notification

ORG = {"organizationId": "acme"}


def refusal(schema: Request, data: Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        requests.parse(schema, data)
    return caught.value.message


def service(**config: Any) -> JSON:
    return {"notificationServiceConfig": config}


RANGES = [
    (("delayConfig", "delaySeconds"), 10, 15_552_000),
    (("batchConfig", "document", "batchWindowSeconds"), 10, 604_800),
    (("batchConfig", "user", "batchWindowSeconds"), 10, 604_800),
    (("batchConfig", "document", "maxActivities"), 2, 50),
    (("batchConfig", "user", "maxActivities"), 2, 50),
]


def at(path: tuple[str, ...], value: Any) -> JSON:
    for step in reversed(path):
        value = {step: value}
    return service(**value)


@pytest.mark.parametrize(("path", "low", "high"), RANGES)
def test_workspace_numbers_are_integers_within_their_range(
    path: tuple[str, ...], low: int, high: int
) -> None:
    for good in (low, high, low + 1, float(low)):
        parsed = requests.parse(config_requests.WORKSPACE_UPDATE, at(path, good))
        assert parsed == at(path, int(good))
    wrong: list[Any] = [low - 1, high + 1, low + 0.5, str(low), True, None, [], {}, 10**30, -low]
    for bad in wrong:
        message = refusal(config_requests.WORKSPACE_UPDATE, at(path, bad))
        assert ".".join(("notificationServiceConfig", *path)) in message
        assert f"from {low} to {high}" in message


def test_velts_sample_with_123_activities_is_out_of_range() -> None:
    assert "from 2 to 50" in refusal(
        config_requests.WORKSPACE_UPDATE, at(("batchConfig", "user", "maxActivities"), 123)
    )


def test_a_workspace_update_without_either_field_gets_velts_own_words() -> None:
    assert refusal(config_requests.WORKSPACE_UPDATE, {}) == (
        "At least one of useNotificationService or notificationServiceConfig must be provided"
    )


@pytest.mark.parametrize(
    "data",
    [
        {"useNotificationService": "true"},
        {"useNotificationService": 1},
        {"useNotificationService": None},
        {"notificationServiceConfig": None},
        {"notificationServiceConfig": []},
        service(triggers={"comment": {"added": "yes"}}),
        service(triggers={"comment": True}),
        service(triggers=None),
        service(delayConfig=None),
        service(delayConfig={"isEnabled": 0}),
        service(batchConfig={"document": 3}),
        service(delayConfig="soon"),
        service(triggers={"x" * 129: {}}),
        service(triggers={"comment": {"x" * 129: True}}),
    ],
)
def test_wrong_types_in_a_workspace_update_are_refused(data: JSON) -> None:
    message = refusal(config_requests.WORKSPACE_UPDATE, data)
    assert message.startswith(next(iter(data)))
    assert " must be " in message


def test_any_trigger_name_passes() -> None:
    data = service(
        triggers={"comment": {"newlyAdded": True, "comment.add": False}, "huddle": {}, "crdt": {"x": True}}
    )
    assert requests.parse(config_requests.WORKSPACE_UPDATE, data) == data


@pytest.mark.parametrize("channel", ["inbox", "email", "slack"])
def test_channel_of_velt_is_all_mine_or_none(channel: str) -> None:
    base = {**ORG, "userIds": ["ben"]}
    for good in ("ALL", "MINE", "NONE"):
        assert requests.parse(config_requests.CONFIG_SET, {**base, "config": {channel: good}})
    for bad in ("all", "SOME", "", None, 1, True):
        message = refusal(config_requests.CONFIG_SET, {**base, "config": {channel: bad}})
        assert message == f"config.{channel} must be one of ALL, MINE, NONE"


def test_channel_of_the_workspace_takes_any_text() -> None:
    data = {**ORG, "userIds": ["ben"], "config": {"teams": "WEEKLY"}}
    assert requests.parse(config_requests.CONFIG_SET, data) == data
    assert (
        refusal(config_requests.CONFIG_SET, {**data, "config": {"teams": 1}})
        == "config.teams must be a short string"
    )


@pytest.mark.parametrize("missing", ["organizationId", "userIds", "config"])
def test_config_set_names_what_is_missing(missing: str) -> None:
    data = {**ORG, "userIds": ["ben"], "config": {}}
    data.pop(missing)
    assert refusal(config_requests.CONFIG_SET, data) == f"{missing} is required"


def test_an_empty_document_list_is_not_taken_for_the_whole_organization() -> None:
    assert "documentIds" in refusal(
        config_requests.CONFIG_SET, {**ORG, "userIds": ["ben"], "config": {}, "documentIds": []}
    )


def test_config_get_requires_only_a_user() -> None:
    user = {**ORG, "userId": "ben"}
    assert requests.parse(config_requests.CONFIG_GET, user) == user
    assert requests.parse(config_requests.CONFIG_GET, {**user, "getOrganizationConfig": True})
    assert requests.parse(config_requests.CONFIG_GET, {**user, "documentIds": ["d"] * 30})
    assert "documentIds" in refusal(config_requests.CONFIG_GET, {**user, "documentIds": []})
    assert "30" in refusal(config_requests.CONFIG_GET, {**user, "documentIds": ["d"] * 31})
    assert refusal(config_requests.CONFIG_GET, {**ORG, "getOrganizationConfig": True}) == (
        "userId is required when getOrganizationConfig is true"
    )


def test_get_is_scoped_paged_and_ordered_as_documented() -> None:
    scope = {**ORG, "documentId": "d"}
    whole = {**scope, "pageSize": 1000, "pageToken": "t", "order": "asc", "notificationIds": ["n"] * 30}
    assert requests.parse(requests.GET, whole) == whole
    assert refusal(requests.GET, ORG) == "documentId or userId is required"
    assert "30" in refusal(requests.GET, {**scope, "notificationIds": ["n"] * 31})
    for bad in (
        {"pageSize": 0},
        {"pageSize": "10"},
        {"order": "up"},
        {"pageToken": 7},
        {"pageToken": " "},
        {"pageSize": 2**53},
        {"notificationIds": "n"},
    ):
        assert refusal(requests.GET, {**scope, **bad})


def test_get_refuses_an_empty_list_of_ids() -> None:
    assert "notificationIds" in refusal(requests.GET, {**ORG, "documentId": "d", "notificationIds": []})


@pytest.mark.parametrize("text", ["a text, not an id", "n 1", "n/1", "\u00fc"])
def test_notification_id_has_limited_characters(text: str) -> None:
    scope = {**ORG, "documentId": "d"}
    assert "notificationIds" in refusal(requests.GET, {**scope, "notificationIds": [text]})
    assert "notificationIds" in refusal(requests.DELETE, {**scope, "notificationIds": [text]})
    with pytest.raises(InvalidArgument):
        requests.parse_update({**ORG, "notifications": [{"id": text, "readByUserIds": ["ben"]}]})


@pytest.mark.parametrize("ids", [[], None, "n-1", [""], [1], [None], [{"$ne": None}], [["n"]]])
def test_delete_refuses_an_empty_list_of_ids(ids: Any) -> None:
    assert "notificationIds" in refusal(requests.DELETE, {**ORG, "notificationIds": ids})


@pytest.mark.parametrize("name", ["organizationId", "documentId", "actionUser"])
def test_an_add_names_what_is_missing(name: str) -> None:
    data = notification()
    data.pop(name)
    assert refusal(requests.ADD, data) == f"{name} is required"


@pytest.mark.parametrize("name", ["displayHeadlineMessageTemplate", "displayBodyMessage"])
def test_add_requires_its_texts_unless_in_resolver_mode(name: str) -> None:
    data = notification()
    data.pop(name)
    assert refusal(requests.ADD, data) == f"{name} is required unless isNotificationResolverUsed is true"
    assert refusal(requests.ADD, {**data, "isNotificationResolverUsed": False})
    assert requests.parse(requests.ADD, {**data, "isNotificationResolverUsed": True})


def test_add_without_recipients_is_refused() -> None:
    data = notification()
    data.pop("notifyUsers")
    assert refusal(requests.ADD, data) == "notifyUsers is required when notifyAll is false"
    assert refusal(requests.ADD, {**data, "notifyUsers": []})
    assert requests.parse(requests.ADD, {**data, "notifyAll": True})


@pytest.mark.parametrize(
    "changes",
    [
        {"notificationId": "has a space"},
        {"notificationId": "ümlaut"},
        {"notificationId": "a/b"},
        {"notificationId": ""},
        {"notificationId": 7},
        {"notificationId": "x" * 513},
        {"notificationSource": "comment"},
        {"notificationSource": None},
        {"organizationId": ""},
        {"organizationId": "   "},
        {"organizationId": {"$ne": 1}},
        {"documentId": ["d"]},
        {"actionUser": "ana"},
        {"actionUser": {}},
        {"actionUser": {"userId": " "}},
        {"actionUser": {"userId": 7}},
        {"notifyUsers": {"userId": "ben"}},
        {"notifyUsers": ["ben"]},
        {"notifyUsers": [{"email": "ben@example.com"}]},
        {"notifyAll": "true"},
        {"notifyAll": None},
        {"verifyUserPermissions": 1},
        {"createDocument": "yes"},
        {"displayBodyMessage": 5},
        {"displayBodyMessage": None},
        {"displayHeadlineMessageTemplateData": "text"},
        {"notificationSourceData": []},
        {"context": {}},
        {"context": {"access": "all"}},
        {"context": {"access": {"a": True}}},
        {"context": {"access": {"__proto__": "x"}}},
        {"context": {"access": {"constructor": "x"}}},
        {"context": {"access": {"prototype": "x"}}},
        {"context": {"access": {"organizationPrivate": "x"}}},
        {"context": {"access": {"__velt_private_self:ben": "x"}}},
        {"context": {"access": {"": "x"}}},
        {"context": {"access": {"a": "x" * 513}}},
        {"location": {"id": "x" * 513}},
        {"locationId": "x" * 513},
        {"context": {"access": {"a": {"b": 1}}}},
        {"context": {"access": {str(n): n for n in range(201)}}},
        {"location": {"id": {"secret": 1}}},
        {"location": {"version": {"id": [1]}}},
        {"location": {"version": "v"}},
        {"metadata": "m"},
    ],
)
def test_a_wrong_value_in_an_add_is_refused_by_name(changes: JSON) -> None:
    assert refusal(requests.ADD, notification(**changes)).startswith(next(iter(changes)))


@pytest.mark.parametrize(
    "notifications",
    [
        [{"id": "n-1", "displayBodyMessage": "x"}],
        [{"notificationId": "n-1", "displayBodyMessage": "x"}],
        {"id": "n-1", "displayBodyMessage": "x"},
        {"notificationId": "n-1", "displayBodyMessage": "x"},
        {"n-1": {"displayBodyMessage": "x"}},
    ],
)
def test_every_documented_form_of_an_update_means_the_same(notifications: Any) -> None:
    filters, entries = requests.parse_update({**ORG, "notifications": notifications})
    assert filters == ORG
    assert entries == [{"id": "n-1", "displayBodyMessage": "x"}]


@pytest.mark.parametrize(
    "notifications",
    [
        None,
        [],
        {},
        "n-1",
        7,
        [7],
        ["n-1"],
        [None],
        [{}],
        [{"id": ""}],
        [{"id": 7}],
        [{"id": {"$ne": 1}}],
        {"n-1": "text"},
        {"n-1": None},
        [{"id": "n", "readByUserIds": "ben"}],
        [{"id": "n", "readByUserIds": [7]}],
        [{"id": "n", "persistReadForUsers": "yes"}],
        [{"id": "n", "actionUser": None}],
        [{"id": "n", "displayBodyMessage": 1}],
    ],
)
def test_invalid_update_is_refused(notifications: Any) -> None:
    with pytest.raises(InvalidArgument):
        requests.parse_update({**ORG, "notifications": notifications})


def test_null_clears_content_in_an_update() -> None:
    _, entries = requests.parse_update({**ORG, "notifications": [{"id": "n", "displayBodyMessage": None}]})
    assert entries == [{"id": "n", "displayBodyMessage": None}]


@pytest.mark.parametrize("data", [None, [], "text", 7, True])
def test_data_that_is_no_object_is_refused(data: Any) -> None:
    for schema in (
        requests.ADD,
        requests.GET,
        requests.DELETE,
        config_requests.CONFIG_SET,
        config_requests.WORKSPACE_UPDATE,
    ):
        assert refusal(schema, data) == "data must be an object"


def test_error_message_is_short_when_much_is_wrong() -> None:
    config = {f"channel-{n}" + "x" * 500: None for n in range(2000)}
    assert len(refusal(config_requests.CONFIG_SET, {**ORG, "userIds": ["ben"], "config": config})) < 1000


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (requests.GET, {**ORG, "documentId": "d"}),
        (config_requests.CONFIG_GET, {**ORG, "userId": "ben"}),
        (config_requests.WORKSPACE_GET, {}),
    ],
)
def test_undocumented_keys_of_a_read_are_not_sent_to_velt(schema: Request, data: JSON) -> None:
    assert requests.parse(schema, {**data, "note": "CANARY"}) == data


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (requests.DELETE, {**ORG, "notificationIds": ["n"]}),
        (requests.UPDATE, ORG),
        (config_requests.CONFIG_SET, {**ORG, "userIds": ["ben"], "config": {"inbox": "ALL"}}),
        (config_requests.WORKSPACE_UPDATE, {"useNotificationService": True}),
    ],
)
def test_undocumented_keys_of_a_change_are_refused(schema: Request, data: JSON) -> None:
    assert refusal(schema, {**data, "note": "CANARY"}).startswith("note is not a key of this call")
