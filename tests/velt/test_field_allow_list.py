"""The field allow-list: only identifiers and directives go to Velt, whatever the payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from marshmallow import Schema

from resolver.errors import InvalidArgument
from resolver.velt import requests
from resolver.velt.field_allow_list import ADD, UPDATE, Rule, split_add, split_update
from tests.support import JSON, notification

# Anything under which a caller could hide something: text with a canary, alone and nested.
CANARY = "canary"
ids = st.text("abcdef0123456789", min_size=1, max_size=12)
texts = st.builds(lambda t: f"{CANARY}{t}", st.text(max_size=10))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | ids, inner, max_size=3),
    max_leaves=8,
)
persons = st.builds(
    lambda rest, user: {**rest, "userId": user},
    st.dictionaries(
        st.sampled_from(["name", "email", "photoUrl", "contacts", "plan", "x"]), values, max_size=4
    ),
    ids,
)
# Of these, values are identifiers by contract: Velt is meant to have them.
IDENTIFIERS = {
    "organizationId": ids,
    "documentId": ids,
    "notificationId": ids,
    "id": ids,
    "locationId": ids,
    "readByUserIds": st.lists(ids, max_size=3),
    "context": st.builds(
        lambda rest, access: {**rest, "access": access},
        st.dictionaries(texts, values, max_size=2),
        st.dictionaries(ids, ids, max_size=2),
    ),
    "location": st.builds(
        lambda rest, id_, version: {**rest, "id": id_, "version": version},
        st.dictionaries(texts, values, max_size=2),
        ids,
        st.builds(lambda rest, id_: {**rest, "id": id_}, st.dictionaries(texts, values, max_size=2), ids),
    ),
    "actionUser": persons,
    "notifyUsers": st.lists(persons, min_size=1, max_size=3),
}
objects = st.dictionaries(texts, values, max_size=3)
CONTENT = {
    "displayHeadlineMessageTemplate": texts,
    "displayHeadlineMessageTemplateData": objects,
    "displayBodyMessage": texts,
    "notificationSourceData": objects,
    "metadata": objects,
}
FLAGS = [
    "createOrganization",
    "verifyUserPermissions",
    "notifyAll",
    "persistReadForUsers",
    "notificationSource",
]


# For the identifiers' places: anything but a bare text, which would be an identifier by definition.
wrecks = st.dictionaries(texts, values, max_size=3) | st.lists(st.dictionaries(texts, values), max_size=2)


@st.composite
def payloads(draw: st.DrawFn) -> JSON:
    """Any payload: the known keys with good and with absurd values, and unknown keys."""
    unknown = draw(st.dictionaries(st.text(min_size=1, max_size=20), values, max_size=4))
    content = draw(st.fixed_dictionaries({}, optional=CONTENT))
    flags = draw(st.dictionaries(st.sampled_from(FLAGS), st.booleans(), max_size=4))
    known = draw(st.fixed_dictionaries({}, optional=IDENTIFIERS))
    wrecked = draw(
        st.just({}) | st.just({}) | st.dictionaries(st.sampled_from(list(IDENTIFIERS)), wrecks, max_size=1)
    )
    base = {"organizationId": "a1", "documentId": "b2", "actionUser": {"userId": "c3", "name": CANARY}}
    return {
        **base,
        "isNotificationResolverUsed": True,
        "id": "d4",
        **unknown,
        **content,
        **flags,
        **known,
        **wrecked,
    }


def holds_canary(value: Any) -> bool:
    return CANARY in orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


@settings(max_examples=settings().max_examples * 4 // 3)
@given(payloads())
def test_add_forwards_no_content_and_no_personal_details(payload: JSON) -> None:
    try:
        request = requests.parse(requests.ADD, payload)
    except InvalidArgument:
        reject()
    forward = split_add(request, "full").forward
    assert forward.keys() <= ADD.keys()
    assert not holds_canary(forward)
    assert forward["actionUser"].keys() == {"userId"}
    assert all(user.keys() == {"userId"} for user in forward.get("notifyUsers", []))
    assert forward["isNotificationResolverUsed"] is True
    assert forward["notificationSource"] == "custom"


@settings(max_examples=settings().max_examples * 4 // 3)
@given(payloads())
def test_update_forwards_no_content_and_no_personal_details(payload: JSON) -> None:
    try:
        # What bounds the whole update is refused in an entry.
        entry = {name: value for name, value in payload.items() if name not in requests.ENTRY.misplaced}
        _, entries = requests.parse_update({"organizationId": "a1", "notifications": [entry]})
    except InvalidArgument:
        reject()
    forward = split_update(entries[0], "full").forward
    assert forward.keys() <= UPDATE.keys()
    assert not holds_canary(forward)


@settings(max_examples=settings().max_examples * 2 // 3)
@given(payloads())
def test_every_field_is_kept_or_named_as_dropped(payload: JSON) -> None:
    try:
        request = requests.parse(requests.ADD, payload)
    except InvalidArgument:
        reject()
    split = split_add(request, "full")
    placed = split.forward.keys() | split.content.keys() | split.private.keys() | set(split.dropped)
    assert request.keys() <= placed | {"location"}


@pytest.mark.parametrize(("rules", "schema"), [(ADD, requests.ADD), (UPDATE, requests.ENTRY)])
def test_every_field_that_goes_to_velt_has_a_declared_type(rules: Mapping[str, Rule], schema: Schema) -> None:
    """Otherwise a caller could send any content under its name."""
    forwarded = {name for name, rule in rules.items() if rule.to_velt}
    assert forwarded <= schema.fields.keys()


def test_the_documented_fields_are_split_as_the_contract_says() -> None:
    payload = notification(
        notifyAll=True,
        verifyUserPermissions=True,
        createOrganization=True,
        createDocument=False,
        isCrossOrganizationEnabled=True,
        context={"access": {"team": "red", "level": 3}, "note": "stays"},
        location={"id": "loc", "locationName": "stays", "version": {"id": "v1", "name": "stays"}},
        metadata={"stays": True},
        notificationSourceData={"stays": True},
        anythingElse="stays",
    )
    split = split_add(requests.parse(requests.ADD, payload), "full")
    assert split.forward == {
        "organizationId": "acme",
        "documentId": "doc-1",
        "notificationId": "n-1",
        "actionUser": {"userId": "ana"},
        "notifyUsers": [{"userId": "ben"}],
        "notifyAll": True,
        "verifyUserPermissions": True,
        "createOrganization": True,
        "createDocument": False,
        "isCrossOrganizationEnabled": True,
        "context": {"access": {"team": "red", "level": 3}},
        "location": {"id": "loc", "version": {"id": "v1"}},
        "isNotificationResolverUsed": True,
        "notificationSource": "custom",
    }
    assert split.private == {name: payload[name] for name in ("context", "location", "metadata")}
    assert split.content == {
        name: payload[name]
        for name in (
            "actionUser",
            "displayHeadlineMessageTemplate",
            "displayHeadlineMessageTemplateData",
            "displayBodyMessage",
            "notificationSourceData",
            "anythingElse",
        )
    }


@pytest.mark.parametrize(
    "name",
    ["id", "timestamp", "actionType", "forYou", "isUnread", "notifyUsersByUserId", "targetAnnotationId",
     "visibility", "isCommentResolverUsed", "__proto__", "constructor", "prototype"],
)  # fmt: skip
def test_name_of_the_sdks_record_is_dropped_and_named(name: str) -> None:
    split = split_add(requests.parse(requests.ADD, notification(**{name: "x"})), "full")
    assert name not in split.content
    assert split.dropped == [name]


def test_prototype_like_keys_are_dropped_at_any_depth() -> None:
    payload = notification(notificationSourceData={"a": [{"__proto__": {"admin": True}, "kept": 1}]})
    split = split_add(requests.parse(requests.ADD, payload), "full")
    assert split.content["notificationSourceData"] == {"a": [{"kept": 1}]}
    assert split.dropped == ["notificationSourceData.a[0].__proto__"]


@pytest.mark.parametrize("people", ["full", "reference"])
def test_fields_that_restrict_readers_are_kept_unchanged(people: Any) -> None:
    context = {"access": {"team": "red"}, "userId": "u1", "name": "N", "__proto__": {"access": {}}}
    split = split_add(requests.parse(requests.ADD, notification(context=context)), people)
    assert split.private["context"] == {"access": {"team": "red"}, "userId": "u1", "name": "N"}
    assert split.forward["context"] == {"access": {"team": "red"}}


@pytest.mark.parametrize("name", ["createDocument", "isCrossOrganizationEnabled", "organizationId"])
def test_structure_of_an_add_is_no_content_of_an_update(name: str) -> None:
    entry = {"id": "n-1", name: "x", "displayBodyMessage": "y"}
    _, entries = requests.parse_update({"organizationId": "acme", "notifications": [entry]})
    split = split_update(entries[0], "full")
    assert (split.content, split.dropped) == ({"displayBodyMessage": "y"}, [name])


def test_with_people_as_references_only_their_ids_are_kept() -> None:
    payload = notification(
        notificationSourceData={
            "assignee": {"userId": "zoe", "email": "z@example.com"},
            "userId": "kept",
            "n": 1,
        }
    )
    content = split_add(requests.parse(requests.ADD, payload), "reference").content
    assert content["actionUser"] == {"userId": "ana"}
    assert content["displayHeadlineMessageTemplateData"] == {"recipientUser": {"userId": "ben"}}
    assert content["notificationSourceData"] == {"assignee": {"userId": "zoe"}, "userId": "kept", "n": 1}
    assert b"example.com" not in orjson.dumps(content)


@pytest.mark.parametrize(
    ("location", "forwarded"),
    [
        ({"id": "loc", "locationName": "stays"}, {"id": "loc"}),
        ({"id": "loc", "version": {"name": "stays"}}, {"id": "loc"}),
        ({"version": {"id": "v1", "name": "stays"}}, {"version": {"id": "v1"}}),
        ({"locationName": "stays", "version": {"name": "stays"}}, None),
        ({}, None),
    ],
)
def test_only_ids_of_a_location_are_forwarded(location: JSON, forwarded: JSON | None) -> None:
    """A location without ids is not forwarded at all: Velt would take an empty one for a place."""
    split = split_add({**notification(), "location": location}, "full")
    assert split.forward.get("location") == forwarded
    assert ("location" in split.forward) is (forwarded is not None)
    assert split.private["location"] == location


def test_documented_fields_of_an_update_are_split_as_the_contract_says() -> None:
    entry = {
        "id": "n-1",
        "actionUser": {"userId": "ana", "name": "stays"},
        "notifyUsers": [{"userId": "ben", "name": "stays"}],
        "notifyAll": True,
        "context": {"access": {"team": "red"}, "note": "stays"},
        "location": {"id": "loc", "locationName": "stays"},
        "readByUserIds": ["ben"],
        "persistReadForUsers": True,
        "metadata": {"stays": True},
        "displayBodyMessage": "stays",
        "isRead": True,
    }
    split = split_update(entry, "full")
    assert split.forward == {
        "id": "n-1",
        "actionUser": {"userId": "ana"},
        "notifyUsers": [{"userId": "ben"}],
        "context": {"access": {"team": "red"}},
        "location": {"id": "loc"},
        "readByUserIds": ["ben"],
        "persistReadForUsers": True,
    }
    assert split.private == {name: entry[name] for name in ("context", "location", "metadata")}
    assert split.content == {name: entry[name] for name in ("actionUser", "displayBodyMessage")}
    assert (split.dropped, split.stripped) == ([], {"isRead": "use readByUserIds"})


def test_location_id_is_forwarded_and_kept_for_the_backend() -> None:
    split = split_add(notification(locationId="loc-1"), "full")
    assert (split.forward["locationId"], split.private) == ("loc-1", {"locationId": "loc-1"})


PLAIN = {"userId": "ana", "plan": "gold"}
"""A person by the field alone: nothing in it is personal data by its name."""
NAMED = {"userId": "zoe", "email": "z@example.com", "plan": "gold"}
REFERENCED = {
    "actionUser": PLAIN,
    "displayHeadlineMessageTemplateData": {"recipientUser": PLAIN, "others": [PLAIN]},
    "displayBodyMessage": {"plain": PLAIN, "people": [NAMED]},
    "metadata": {"plain": PLAIN, "people": [NAMED]},
    "context": {"access": NAMED, "people": [NAMED]},
}


@pytest.mark.parametrize("update", [True, False])
def test_people_are_reduced_in_every_field_but_access_where_references_are_kept(update: bool) -> None:
    """Velt compares `context.access` with what a reader has, so each of its values counts."""
    kept, zoe = {"plain": PLAIN, "people": [{"userId": "zoe"}]}, {"userId": "zoe"}
    ana = {"userId": "ana"}
    split = (
        split_update({"id": "n", **REFERENCED}, "reference") if update else split_add(REFERENCED, "reference")
    )
    assert split.content == {
        "actionUser": ana,
        "displayHeadlineMessageTemplateData": {"recipientUser": ana, "others": [ana]},
        "displayBodyMessage": kept,
    }
    assert split.private == {"metadata": kept, "context": {"access": NAMED, "people": [zoe]}}


@pytest.mark.parametrize("update", [True, False])
def test_people_are_kept_whole_in_every_field_otherwise(update: bool) -> None:
    split = split_update({"id": "n", **REFERENCED}, "full") if update else split_add(REFERENCED, "full")
    assert {**split.content, **split.private} == REFERENCED


def test_reserved_keys_are_named_by_their_path_in_fields_for_the_backend() -> None:
    split = split_add({"metadata": {"a": [{"constructor": 1}], "prototype": 2}}, "full")
    assert split.private == {"metadata": {"a": [{}]}}
    assert split.dropped == ["metadata.a[0].constructor", "metadata.prototype"]
