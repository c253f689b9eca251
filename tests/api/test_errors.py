"""Every kind of failure has a status and a shape, and a failure while rendering one is still no leak."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from resolver import errors
from resolver.api import guards
from resolver.api.errors import callback_shape, http_status, velt_shape
from resolver.app import shape_of
from resolver.ops.readiness import Readiness
from tests.support import BACKEND, Api, error_of


def every_kind(root: type[errors.ResolverError]) -> Iterator[type[errors.ResolverError]]:
    yield root
    for kind in root.__subclasses__():
        yield from every_kind(kind)


def made(kind: type[errors.ResolverError]) -> errors.ResolverError:
    if kind is errors.VeltRefused:
        return errors.VeltRefused("NOT_FOUND", 404, {"error": {"message": "m", "status": "NOT_FOUND"}})
    if kind is errors.SettingsError:
        return errors.SettingsError(["x"])
    return kind("why")


@pytest.mark.parametrize("kind", list(every_kind(errors.ResolverError)), ids=lambda kind: kind.__name__)
def test_every_kind_of_failure_is_mapped(kind: type[errors.ResolverError]) -> None:
    error = made(kind)
    status = http_status(error)
    assert 400 <= status <= 503
    assert velt_shape(error, status)["error"].keys() >= {"message", "status"}
    assert callback_shape(error, status)["statusCode"] == status


def test_the_reason_of_an_outage_is_for_the_log_alone() -> None:
    for error in (errors.StoreUnavailable("secret detail"), errors.VeltUnavailable("secret detail")):
        assert "secret detail" not in str(velt_shape(error, 503)) + str(callback_shape(error, 503))


def test_only_the_callbacks_speak_the_sdks_shape() -> None:
    assert shape_of("/api/velt/notifications/get") is callback_shape
    assert shape_of("/api/velt/notifications/anything") is callback_shape
    assert shape_of("/api/velt/token") is velt_shape
    assert shape_of("/v2/notifications/get") is velt_shape


@pytest.mark.parametrize(("method", "path"), [("GET", "/readyz"), ("POST", "/v2/notifications/get")])
def test_a_bug_is_a_500_in_shape_and_its_text_is_nowhere(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    def broken(*_anything: object) -> None:
        raise RuntimeError("CANARY content")

    monkeypatch.setattr(Readiness, "check", broken)
    monkeypatch.setattr(guards, "authorize", broken if method == "POST" else guards.authorize)
    with capture_logs() as logged:
        reply = api.client.open(path, method=method, headers=BACKEND)
    assert (reply.status_code, reply.get_json()["error"]["status"]) == (500, "INTERNAL")
    assert reply.headers["x-request-id"]
    assert [entry["type"] for entry in logged if entry["event"] == "internal_error"] == ["RuntimeError"]
    assert "CANARY" not in str(logged)


def test_a_failure_while_a_failure_is_rendered_is_a_500_in_shape(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not look like the caller's mistake."""

    def broken(*_anything: object) -> None:
        raise errors.VeltRefused("NOT_FOUND", 404, {"error": {"deep": object()}})

    monkeypatch.setattr(guards, "authorize", broken)
    with capture_logs() as logged:
        reply = api.client.post("/v2/notifications/get", headers=BACKEND)
    assert (reply.status_code, reply.get_json()["error"]["status"]) == (500, "INTERNAL")
    assert "internal_error" in [entry["event"] for entry in logged]


@pytest.mark.parametrize("path", ["/v1/notifications/add", "/v1/anything/at/all"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_v1_path_is_not_found_and_the_message_names_v2(api: Api, path: str, method: str) -> None:
    reply = api.client.open(path, method=method)
    assert error_of(reply) == (404, "NOT_FOUND")
    message = reply.get_json()["error"]["message"]
    assert message.startswith("Velt's v1 API is not mirrored here: use the v2 path")
