"""/_sandbox/ledger: everything that ever reached Velt's paths."""

import time
from typing import Any

import orjson
import pytest

from tests.sandbox.conftest import AUTH_TOKEN, Control, Velt, notification

ADD = "/v2/notifications/add"


def test_each_request_is_recorded_in_order_with_body_text_time_and_status(
    velt: Velt, control: Control
) -> None:
    before = time.time_ns() // 1_000_000
    velt.add("n1")
    velt.get()
    first, second = control.ledger()
    body = {"data": notification(notificationId="n1")}
    assert before <= first.pop("at") <= second["at"]
    assert first == {"path": ADD, "body": body, "raw": orjson.dumps(body).decode(), "status": 200}
    assert (second["path"], second["status"]) == ("/v2/notifications/get", 400)


@pytest.mark.parametrize(
    ("raw", "text", "body"),
    [
        (b"{oops", "{oops", None),
        (b"\xff", "\ufffd", None),
        (b"", "", None),
        (b' {"a": 1}', ' {"a": 1}', {"a": 1}),
    ],
)
def test_a_body_is_kept_as_it_came_even_when_it_is_not_json(
    velt: Velt, control: Control, raw: bytes, text: str, body: Any
) -> None:
    velt.raw(ADD, raw)
    (entry,) = control.ledger()
    assert (entry["raw"], entry["body"]) == (text, body)


def test_credentials_are_not_recorded_and_unauthenticated_calls_are(velt: Velt, control: Control) -> None:
    velt.add()
    velt.send("POST", ADD, b"{}")
    assert [entry["status"] for entry in control.ledger()] == [200, 403]
    assert AUTH_TOKEN not in str(control.ledger())


def test_unknown_paths_and_methods_below_v2_are_recorded_as_well(velt: Velt, control: Control) -> None:
    velt.raw("/v2/users/get", b"{}")
    velt.send("GET", ADD)
    assert [entry["status"] for entry in control.ledger()] == [404, 405]


def test_the_ledger_can_be_narrowed_to_a_path(velt: Velt, control: Control) -> None:
    velt.add()
    velt.get(documentId="doc1")
    entries = control.get(f"ledger?path={ADD}").body["entries"]
    assert [entry["path"] for entry in entries] == [ADD]


def test_a_request_that_was_dropped_is_recorded_without_a_status(velt: Velt, control: Control) -> None:
    control.post("faults", {"drop": "before"})
    with pytest.raises(Exception, match="closed connection"):
        velt.add()
    (entry,) = control.ledger()
    assert (entry["body"]["data"]["notificationId"], entry["status"]) == ("n1", None)


def test_control_paths_are_not_recorded(control: Control) -> None:
    control.get("notifications")
    assert control.ledger() == []
