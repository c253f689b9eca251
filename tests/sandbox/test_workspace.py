"""/v2/workspace/notificationconfig/get and /update"""

from typing import Any, NamedTuple

import pytest

from tests.sandbox.conftest import Reply, Velt

GET = "/v2/workspace/notificationconfig/get"
UPDATE = "/v2/workspace/notificationconfig/update"
DELAY = {"isEnabled": True, "delaySeconds": 30}


def update(velt: Velt, **data: Any) -> Reply:
    return velt.post(UPDATE, data)


def configure(velt: Velt, **config: Any) -> Reply:
    return update(velt, notificationServiceConfig=config)


def enable(velt: Velt, **config: Any) -> Reply:
    return update(velt, useNotificationService=True, notificationServiceConfig=config)


def stored(velt: Velt) -> Any:
    return velt.post(GET, {}).data


def test_at_first_the_service_is_off_and_nothing_is_configured(velt: Velt) -> None:
    assert velt.post(GET, {}).body == {
        "result": {
            "status": "success",
            "message": "Notification configuration retrieved successfully.",
            "data": {"useNotificationService": False, "notificationServiceConfig": {}},
        }
    }


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":{}}'])
def test_a_get_needs_no_body(velt: Velt, body: bytes) -> None:
    assert velt.raw(GET, body).code == 200


def test_the_documented_get_example_is_what_comes_back_once_it_was_set(velt: Velt) -> None:
    window = {"isEnabled": False, "batchWindowSeconds": 10, "maxActivities": 2}
    example = {
        "useNotificationService": False,
        "notificationServiceConfig": {
            "triggers": {"comment": {}, "huddle": {}},
            "delayConfig": {"isEnabled": False, "delaySeconds": 10},
            "batchConfig": {"document": window, "user": window},
        },
    }
    assert update(velt, **example).data == example
    assert stored(velt) == example


def test_the_documented_update_example_is_echoed_within_the_state_after_the_write(velt: Velt) -> None:
    reply = enable(velt, delayConfig=DELAY)
    assert reply.code == 200
    assert reply.body["result"]["message"] == "Notification configuration updated successfully."
    assert reply.data["useNotificationService"] is True
    assert reply.data["notificationServiceConfig"]["delayConfig"] == DELAY
    assert reply.data == stored(velt)


def test_the_documented_curl_sample_is_refused_because_it_leaves_the_documented_range(velt: Velt) -> None:
    window = {"isEnabled": True, "batchWindowSeconds": 123, "maxActivities": 123}
    reply = enable(
        velt,
        triggers={},
        delayConfig={"isEnabled": True, "delaySeconds": 123},
        batchConfig={"document": window, "user": window},
    )
    assert (reply.code, reply.error["status"]) == (400, "INVALID_ARGUMENT")
    assert "maxActivities must be an integer between 2 and 50" in reply.error["message"]
    assert stored(velt)["useNotificationService"] is False


@pytest.mark.parametrize("data", [{}, {"something": 1}])
def test_one_of_both_fields_is_needed_in_the_documented_words(velt: Velt, data: dict[str, Any]) -> None:
    reply = update(velt, **data)
    assert (reply.code, reply.error) == (
        400,
        {
            "status": "INVALID_ARGUMENT",
            "message": "At least one of useNotificationService or notificationServiceConfig must be provided",
        },
    )


class TestMerging:
    def test_omitted_fields_survive_at_every_depth(self, velt: Velt) -> None:
        configure(velt, triggers={"comment": {"added": True}}, delayConfig=DELAY)
        configure(velt, batchConfig={"user": {"isEnabled": True, "maxActivities": 5}})
        configure(velt, batchConfig={"user": {"maxActivities": 6}}, triggers={"comment": {"updated": False}})
        configure(velt, delayConfig={"isEnabled": False})
        assert stored(velt)["notificationServiceConfig"] == {
            "triggers": {"comment": {"added": True, "updated": False}},
            "delayConfig": {"isEnabled": False, "delaySeconds": 30},
            "batchConfig": {"user": {"isEnabled": True, "maxActivities": 6}},
        }

    def test_switching_the_service_leaves_the_configuration_and_the_other_way_round(self, velt: Velt) -> None:
        configure(velt, delayConfig=DELAY)
        assert stored(velt)["useNotificationService"] is False
        update(velt, useNotificationService=False)
        assert stored(velt)["notificationServiceConfig"] == {"delayConfig": DELAY}

    def test_a_refused_update_changes_nothing(self, velt: Velt) -> None:
        update(
            velt, useNotificationService=True, notificationServiceConfig={"delayConfig": {"delaySeconds": 1}}
        )
        assert stored(velt) == {"useNotificationService": False, "notificationServiceConfig": {}}


class TestSeeding:
    def triggers(self, velt: Velt) -> Any:
        return stored(velt)["notificationServiceConfig"].get("triggers")

    def test_the_first_enabling_turns_on_comment_and_huddle_triggers_and_nothing_else(
        self, velt: Velt
    ) -> None:
        config = update(velt, useNotificationService=True).data["notificationServiceConfig"]
        assert set(config) == {"triggers"}
        assert config["triggers"]["comment"]["added"] is True
        assert config["triggers"]["huddle"] == {"created": True, "join": True}
        assert "suggestionAccepted" not in config["triggers"]["comment"]

    def test_it_happens_even_where_delay_and_batch_exist_and_keeps_them(self, velt: Velt) -> None:
        configure(velt, delayConfig=DELAY)
        update(velt, useNotificationService=True)
        assert self.triggers(velt)["comment"]
        assert stored(velt)["notificationServiceConfig"]["delayConfig"] == DELAY

    def test_values_of_the_same_request_are_merged_on_top(self, velt: Velt) -> None:
        enable(velt, triggers={"comment": {"added": False, "ours": True}})
        comment = self.triggers(velt)["comment"]
        assert (comment["added"], comment["ours"], comment["updated"]) == (False, True, True)

    def test_it_happens_once(self, velt: Velt) -> None:
        update(velt, useNotificationService=True)
        configure(velt, triggers={"huddle": {"join": False}})
        update(velt, useNotificationService=False)
        update(velt, useNotificationService=True)
        assert self.triggers(velt)["huddle"] == {"created": True, "join": False}

    def test_stored_triggers_prevent_it(self, velt: Velt) -> None:
        configure(velt, triggers={"comment": {"added": True}})
        update(velt, useNotificationService=True)
        assert self.triggers(velt) == {"comment": {"added": True}}

    def test_configuring_without_enabling_does_not_seed(self, velt: Velt) -> None:
        configure(velt, delayConfig=DELAY)
        update(velt, useNotificationService=False)
        assert self.triggers(velt) is None

    def test_configuring_an_enabled_service_without_the_flag_does_not_seed_again(self, velt: Velt) -> None:
        enable(velt)
        before = self.triggers(velt)
        configure(velt, delayConfig=DELAY)
        assert self.triggers(velt) == before


class Limit(NamedTuple):
    """One of the five numbers, as Velt documents its range."""

    path: str
    low: int
    high: int

    def config(self, value: Any) -> Any:
        for name in reversed(self.path.split(".")):
            value = {name: value}
        return value


LIMITS = [
    Limit("delayConfig.delaySeconds", 10, 15_552_000),
    Limit("batchConfig.document.batchWindowSeconds", 10, 604_800),
    Limit("batchConfig.user.batchWindowSeconds", 10, 604_800),
    Limit("batchConfig.document.maxActivities", 2, 50),
    Limit("batchConfig.user.maxActivities", 2, 50),
]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.path)
class TestRanges:
    def test_both_ends_are_inside(self, velt: Velt, limit: Limit) -> None:
        for value in (limit.low, limit.high):
            assert configure(velt, **limit.config(value)).code == 200

    def test_just_beyond_either_end_is_refused_with_the_range(self, velt: Velt, limit: Limit) -> None:
        for value in (limit.low - 1, limit.high + 1):
            reply = configure(velt, **limit.config(value))
            assert (reply.code, reply.error) == (
                400,
                {
                    "message": f"notificationServiceConfig.{limit.path} must be an integer"
                    f" between {limit.low} and {limit.high}",
                    "status": "INVALID_ARGUMENT",
                },
            )

    def test_a_whole_float_is_an_integer_and_is_stored_as_one(self, velt: Velt, limit: Limit) -> None:
        reply = configure(velt, **limit.config(float(limit.low)))
        assert reply.data["notificationServiceConfig"] == limit.config(limit.low)
        assert f"{limit.low}.0" not in str(reply.body)

    @pytest.mark.parametrize("value", [10.5, True, "10", None, [10], {}])
    def test_anything_else_is_not(self, velt: Velt, limit: Limit, value: Any) -> None:
        reply = configure(velt, **limit.config(value))
        assert (reply.code, reply.error["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "data",
    [
        {"useNotificationService": "true"},
        {"useNotificationService": None},
        {"notificationServiceConfig": None},
        {"notificationServiceConfig": []},
        {"notificationServiceConfig": {"triggers": None}},
        {"notificationServiceConfig": {"triggers": {"comment": None}}},
        {"notificationServiceConfig": {"triggers": {"comment": {"added": "yes"}}}},
        {"notificationServiceConfig": {"triggers": {"comment": {"added": None}}}},
        {"notificationServiceConfig": {"delayConfig": None}},
        {"notificationServiceConfig": {"delayConfig": {"isEnabled": 1}}},
        {"notificationServiceConfig": {"batchConfig": {"user": None}}},
        {"notificationServiceConfig": {"somethingNew": None}},
    ],
)
def test_nulls_and_wrong_types_are_refused(velt: Velt, data: dict[str, Any]) -> None:
    assert update(velt, **data).error["status"] == "INVALID_ARGUMENT"
    assert stored(velt) == {"useNotificationService": False, "notificationServiceConfig": {}}


def test_any_event_name_passes_since_velts_documents_disagree_about_them(velt: Velt) -> None:
    triggers = {"comment": {"comment_annotation.add": True}, "huddle": {"joined": False}}
    assert configure(velt, triggers=triggers).data["notificationServiceConfig"] == {"triggers": triggers}
