"""/v2/users/data/delete and its status"""

from tests.sandbox.conftest import Velt


def test_a_deletion_is_a_job_that_is_done_at_the_second_look(velt: Velt) -> None:
    velt.add("goes", actionUser={"userId": "u1"})
    velt.add("alone")
    velt.add("stays", notifyUsers=[{"userId": "u1"}, {"userId": "u2"}])
    started = velt.post("/v2/users/data/delete", {"userIds": ["u1"]})
    assert (started.code, started.body["statusCode"]) == (202, 202)
    assert "result" not in started.body
    looks = [
        velt.post("/v2/users/data/delete/status", {"jobId": started.body["data"]["jobId"]}) for _ in range(2)
    ]
    assert [look.body["data"]["isDeleteCompleted"] for look in looks] == [False, True]
    assert velt.ids(documentId="doc1") == ["stays"]


def test_people_beyond_thirty_are_silently_left_out(velt: Velt) -> None:
    velt.add("last", actionUser={"userId": "u30"}, notifyUsers=[{"userId": "u99"}])
    velt.post("/v2/users/data/delete", {"userIds": [f"u{n}" for n in range(31)]})
    assert velt.ids(documentId="doc1") == ["last"]


def test_organizations_bound_it(velt: Velt) -> None:
    velt.add("n1", actionUser={"userId": "u9"})
    velt.post("/v2/users/data/delete", {"userIds": ["u9"], "organizationIds": ["org2"]})
    assert velt.ids(documentId="doc1") == ["n1"]


def test_a_job_that_never_was_is_not_found(velt: Velt) -> None:
    assert velt.post("/v2/users/data/delete/status", {"jobId": "x"}).error["status"] == "NOT_FOUND"
