"""/_sandbox/answers: what Velt's documents leave open, answered the other way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import Control, Velt
from tests.waiting import until

DELETE = "/v2/notifications/delete"


def got(velt: Velt, **data: Any) -> list[Any]:
    items: list[Any] = velt.get(documentId="doc1", **data).data
    return items


def test_each_is_as_documented_until_it_is_declared_otherwise(control: Control) -> None:
    first = control.get("answers").body
    assert first["addAgain"] == "replace"
    assert control.post("answers", {"addAgain": "keep"}).body == {**first, "addAgain": "keep"}
    control.post("reset")
    assert control.get("answers").body == first


@pytest.mark.parametrize("wrong", [{"addAgain": "perhaps"}, {"lagMs": -1}, {"getFlag": 1}, {"unknown": True}])
def test_what_is_no_answer_is_refused(control: Control, wrong: Any) -> None:
    assert control.post("answers", wrong).code == 400


@pytest.mark.parametrize(
    ("answer", "code", "bodies"),
    [
        ("replace", 200, ["second"]),
        ("refuse", 409, ["first"]),
        ("keep", 200, ["first"]),
        ("duplicate", 200, ["second", "first"]),
    ],
)
def test_an_id_that_exists(velt: Velt, control: Control, answer: str, code: int, bodies: list[str]) -> None:
    control.post("answers", {"addAgain": answer})
    velt.add(displayBodyMessage="first")
    again = velt.add(displayBodyMessage="second")
    assert again.code == code
    assert code == 200 or again.error["status"] == "ALREADY_EXISTS"
    for items in (got(velt), got(velt, notificationIds=["n1"])):
        assert [item["displayBodyMessage"] for item in items] == bodies


@pytest.mark.parametrize(("answer", "success"), [("reported", False), ("success", True), ("refuse", None)])
def test_an_id_that_does_not_exist(velt: Velt, control: Control, answer: str, success: bool | None) -> None:
    control.post("answers", {"unknownUpdate": answer, "unknownDelete": answer})
    velt.add()
    for reply in (
        velt.update(notifications=[{"id": "none"}]),
        velt.post(DELETE, {"organizationId": "org1", "notificationIds": ["n1", "none"]}),
    ):
        assert (reply.code, "error" in reply.body) == ((404, True) if success is None else (200, False))
        assert success is None or reply.data["none"]["success"] is success
    assert len(got(velt)) == (1 if success is None else 0), "a refused deletion deletes nothing"


def test_a_get_may_return_the_flag_and_no_source_and_words_of_its_own(velt: Velt, control: Control) -> None:
    velt.add(isNotificationResolverUsed=True)
    control.post("answers", {"getFlag": True, "getSource": False, "displayFields": "invented"})
    (item,) = got(velt)
    assert item["isNotificationResolverUsed"] is True
    assert "notificationSource" not in item
    assert item["displayHeadlineMessageTemplate"]
    assert item["actionUser"]["name"]


def test_a_get_may_lag_behind_adds_and_deletions(velt: Velt, control: Control) -> None:
    control.post("answers", {"lagMs": 300})
    velt.add()
    assert got(velt) == []
    until(lambda: got(velt), "the add is listed", seconds=5)
    velt.post(DELETE, {"organizationId": "org1", "notificationIds": ["n1"]})
    assert [item["id"] for item in got(velt, notificationIds=["n1"])] == ["n1"]
    until(lambda: got(velt) == [], "the deletion is seen", seconds=5)
