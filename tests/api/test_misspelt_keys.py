"""A misspelt or unknown key never makes a call do more than the request was meant to do.

Each example takes a request whose keys narrow it, and misspells one of them as a keyboard or a naming habit
would, or adds a key that no call knows. Then either the call is refused and nothing happens, or Velt and the
vault get exactly what the well-spelt request would have given them.
"""

from __future__ import annotations

import copy
import re
import string
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from resolver.velt import config_requests, requests
from tests.support import JSON, Api, Velt, notification

pytestmark = pytest.mark.fuzz
ADD, UPDATE, GET, DELETE = (f"notifications/{name}" for name in ("add", "update", "get", "delete"))
CONFIG_SET, CONFIG_GET = "notifications/config/set", "notifications/config/get"
WORKSPACE = "workspace/notificationconfig/update"
ORGANIZATION = {"organizationId": "acme"}
FILTERS = {**ORGANIZATION, "documentId": "doc-1", "locationId": "loc", "userId": "ben"}
NARROW = {
    "notifyUsers": [{"userId": "dan"}],
    "notifyAll": False,
    "context": {"access": {"team": "red"}},
}


WORDS = {"content", "notification", "organization"}
"""Words of their own, one letter from a key."""


class Call(NamedTuple):
    path: str
    data: JSON
    within: tuple[str | int, ...]
    """Where in the data the keys are that are misspelt."""
    keys: tuple[str, ...]
    known: frozenset[str]
    """Other keys of that place: a misspelling that gives one of these says something else."""


CALLS = [
    Call(ADD, notification(**NARROW, verifyUserPermissions=True), (), (*NARROW, "verifyUserPermissions"),
         frozenset(requests.ADD.fields)),
    Call(UPDATE, {**FILTERS, "notifications": [{"id": "n-1", "displayBodyMessage": "new"}]}, (),
         ("documentId", "locationId", "userId"), frozenset(requests.UPDATE.fields)),
    Call(UPDATE, {**ORGANIZATION, "notifications": [{"id": "n-1", "displayBodyMessage": "new", **NARROW}]},
         ("notifications", 0), tuple(NARROW), frozenset(requests.ENTRY.fields)),
    Call(GET, {**FILTERS, "notificationIds": ["n-1"]}, (),
         ("documentId", "locationId", "userId", "notificationIds"), frozenset(requests.GET.fields)),
    Call(DELETE, {**FILTERS, "notificationIds": ["n-1"]}, (),
         ("documentId", "locationId", "userId", "notificationIds"), frozenset(requests.DELETE.fields)),
    Call(CONFIG_SET, {**ORGANIZATION, "userIds": ["b"], "documentIds": ["d"], "config": {"inbox": "ALL"}},
         (), ("documentIds",), frozenset(config_requests.CONFIG_SET.fields)),
    Call(CONFIG_GET, {**ORGANIZATION, "userId": "ben", "documentIds": ["doc-1"]}, (), ("documentIds",),
         frozenset(config_requests.CONFIG_GET.fields)),
    Call(WORKSPACE, {"notificationServiceConfig": {"delayConfig": {"isEnabled": True, "delaySeconds": 60}}},
         ("notificationServiceConfig", "delayConfig"), ("isEnabled", "delaySeconds"), frozenset()),
]  # fmt: skip


def misspellings(name: str) -> Iterator[str]:
    """As a keyboard or a naming habit would have it."""
    yield name.lower()
    yield name.upper()
    yield name[0].upper() + name[1:]
    snake = re.sub("([A-Z])", r"_\1", name).lower()
    yield snake
    yield snake.replace("_", "-")
    yield name.removesuffix("s") if name.endswith("s") else f"{name}s"
    yield f"_{name}"
    for at in range(len(name)):
        yield name[:at] + name[at + 1 :]
        yield name[:at] + name[at] + name[at:]
        yield name[:at] + "x" + name[at + 1 :]
        if at:
            yield name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]


@st.composite
def misspelt(draw: st.DrawFn, name: str) -> str:
    """A habit of naming, one slip of the keyboard, or the wrong case of any letters."""
    at, letter = (
        draw(st.integers(0, len(name) - 1)),
        draw(st.sampled_from(string.ascii_letters + string.digits)),
    )
    slips = (name[:at] + letter + name[at + 1 :], name[:at] + letter + name[at:])
    upper = draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    cased = "".join(
        one.upper() if is_upper else one.lower() for one, is_upper in zip(name, upper, strict=True)
    )
    return draw(st.sampled_from([*dict.fromkeys(misspellings(name)), *slips, *slips, cased, cased]))


def place(data: JSON, within: tuple[str | int, ...]) -> JSON:
    found: Any = data
    for step in within:
        found = found[step]
    assert isinstance(found, dict)
    return found


def given_to(api: Api, velt: Velt, call: Call, data: JSON) -> tuple[int, Any, Any]:
    """The status, what Velt was sent, and what is held, each from the same beginning."""
    velt.control("POST", "reset")
    for id_ in ("n-1", "n-2"):
        api.services.store.remove("acme", id_)
    api.add(notifyAll=True, location={"id": "loc"})
    api.add(notificationId="n-2", notifyAll=True)
    before = len(velt.ledger())
    reply = api.velt(call.path, data)
    sent = [(entry["path"], entry["body"]) for entry in velt.ledger()[before:]]
    held = api.services.store.read("acme", ["n-1", "n-2"])
    kept = {
        id_: (record.audience, record.everyone, record.verified, record.dismissed_by, dict(record.access()))
        for id_, record in held.items()
    }
    return reply.status_code, sent, kept


@given(data=st.data())
def test_misspelt_key_is_refused_or_changes_nothing_of_what_the_call_does(
    api: Api, velt: Velt, data: st.DataObject
) -> None:
    call = data.draw(st.sampled_from(CALLS))
    key = data.draw(st.sampled_from(call.keys))
    wrong = data.draw(misspelt(key))
    assume(wrong and wrong != key and wrong not in call.known and wrong not in WORDS)
    asked = copy.deepcopy(call.data)
    target = place(asked, call.within)
    target[wrong] = target.pop(key)
    status, sent, kept = given_to(api, velt, call, asked)
    event(f"{call.path} {status}")
    if status == 200:
        assert (sent, kept) == given_to(api, velt, call, call.data)[1:], (key, wrong)
    else:
        assert (status, sent) == (400, []), (key, wrong)
        assert kept == given_to(api, velt, call, {})[2], "nothing is changed either"


@given(data=st.data(), name=st.text(min_size=1, max_size=20), value=st.integers(-9, 9) | st.text(max_size=5))
def test_unknown_key_is_refused_or_changes_nothing_of_what_the_call_does(
    api: Api, velt: Velt, data: st.DataObject, name: str, value: int | str
) -> None:
    call = data.draw(st.sampled_from([call for call in CALLS if call.path not in (ADD, WORKSPACE)]))
    assume(name not in call.known and name not in place(call.data, call.within) and name != "id")
    asked = copy.deepcopy(call.data)
    place(asked, call.within)[name] = value
    status, sent, kept = given_to(api, velt, call, asked)
    event(f"{call.path} {status}")
    if status == 200:
        assert (sent, kept) == given_to(api, velt, call, call.data)[1:], name
    else:
        assert (status, sent) == (400, []), name
