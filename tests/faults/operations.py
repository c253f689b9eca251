"""The operations that the fault loops run: their preparation, the operation, and what it promises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from resolver.config import load
from resolver.outbox.queue import new_claim
from resolver.store.command import Command, Entry, Kind
from resolver.velt import requests
from resolver.velt.field_allow_list import split_add
from resolver.wiring import build_worker
from tests.api.described import PRIVACY
from tests.backups import saved
from tests.faults.world import CALLBACKS, Environment, Reply, World
from tests.support import BACKEND, Api, key, notification, signed
from tests.waiting import until

JSON = dict[str, Any]
Prepare = Callable[[World], None]
Act = Callable[[World], Reply]
Rival = Callable[[World], None]
OLD, BOTH, NEW = f"k1:{key(1)}", f"k2:{key(2)},k1:{key(1)}", f"k2:{key(2)}"
PRIVACY_OPERATOR = {"authorization": f"Bearer {PRIVACY}"}
BEN = {"userId": "ben", "name": "CANARY Ben"}
CLEO = {"userId": "cleo", "name": "CANARY Cleo"}


def _is_success(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _is_success_for_the_notification(reply: Reply) -> bool:
    """Whether the reply reports success for the notification. Updates and deletes answer for each one."""
    return reply.status == 200 and bool(reply.body["result"]["data"]["n-1"]["success"])


@dataclass(frozen=True)
class Operation:
    name: str
    act: Act
    audited: str
    """The name of its action in the audit trail."""
    prepare: Prepare = lambda _world: None
    is_acknowledged: Callable[[Reply], bool] = _is_success
    is_immediate: bool = True
    """Whether people read the result as soon as it is acknowledged; otherwise when the worker is done."""
    meets_faults_of_velt: bool = True
    is_rivalled: bool = False
    """Whether it is run with rivals, which change the same notification."""
    may_leave_dead_letters: bool = False
    """Whether Velt refuses it. If the caller can't learn so, an operator does, by a dead letter."""
    erases: str = ""
    """A pattern for content that can't be opened afterwards."""
    withdraws: str = ""
    """The id of a master key that is no longer needed afterwards."""
    settings: Environment = field(default_factory=dict)


def _velt(world: World, path: str, data: JSON, **headers: str) -> Reply:
    return world.resolver.call(f"/v2/notifications/{path}", {"data": data}, {**BACKEND, **headers})


def _add(world: World) -> Reply:
    return _velt(world, "add", notification(notifyUsers=[BEN, CLEO]))


def _add_deferred(world: World) -> Reply:
    reply = _add(world)
    world.resolver.work()
    return reply


def _add_with_key(world: World) -> Reply:
    data = notification(notifyUsers=[BEN, CLEO])
    del data["notificationId"]
    return _velt(world, "add", data, **{"idempotency-key": "order-1"})


def _add_over(world: World) -> Reply:
    return _velt(world, "add", notification(notifyUsers=[CLEO], displayBodyMessage="CANARY again"))


def _velt_refuses(world: World) -> None:
    _one(world)
    fault = {"status": 400, "errorStatus": "INVALID_ARGUMENT", "path": "/v2/notifications/add"}
    world.velt.break_with(**fault)


def _update(world: World) -> Reply:
    entry = {
        "id": "n-1",
        "displayBodyMessage": "CANARY changed",
        "notifyUsers": [BEN],
        "readByUserIds": ["ben"],
    }
    return _velt(world, "update", {"organizationId": "acme", "notifications": [entry]})


def _update_deferred(world: World) -> Reply:
    reply = _update(world)
    world.resolver.work()
    return reply


def _delete(world: World) -> Reply:
    return _velt(world, "delete", {"organizationId": "acme", "notificationIds": ["n-1"]})


def _delete_deferred(world: World) -> Reply:
    reply = _delete(world)
    world.resolver.work()
    return reply


def _delete_for_one(world: World) -> Reply:
    return _velt(world, "delete", {"organizationId": "acme", "userId": "ben", "notificationIds": ["n-1"]})


def _delete_without_ids(world: World) -> Reply:
    return _velt(world, "delete", {"organizationId": "acme", "documentId": "doc-1"})


def _delete_without_ids_for_one(world: World) -> Reply:
    return _velt(world, "delete", {"organizationId": "acme", "documentId": "doc-1", "userId": "ben"})


def _dismiss(world: World) -> Reply:
    bearer = {"authorization": f"Bearer {signed('ben', 'acme')}"}
    body = {"organizationId": "acme", "notificationId": "n-1"}
    return world.resolver.call(f"{CALLBACKS}/delete", body, bearer)


def _erase_person(world: World) -> Reply:
    reply = world.resolver.call("/privacy/erase", {"userIds": ["ben"]}, PRIVACY_OPERATOR)
    world.resolver.work()
    return reply


def _erase_user_data(world: World) -> Reply:
    body = {"userIds": ["ben"], "veltUserData": True}
    reply = world.resolver.call("/privacy/erase", body, PRIVACY_OPERATOR)
    world.resolver.work()
    return reply


def _erase_by_command(world: World) -> Reply:
    reply = world.resolver.run("privacy", "erase", "--user", "ben", "--yes", "--json")
    world.resolver.work()
    return reply


def _erase_organization(world: World) -> Reply:
    body = {"organizationIds": ["zeta"], "wholeOrganizations": True}
    reply = world.resolver.call("/privacy/erase", body, PRIVACY_OPERATOR)
    world.resolver.work()
    return reply


def _rotate(world: World) -> Reply:
    return world.resolver.run("keys", "rotate", "--json")


def _replay(world: World) -> Reply:
    return world.resolver.run("privacy", "replay", str(world.certificates), "--json")


def _one(world: World) -> None:
    assert world.api().add(notifyUsers=[BEN, CLEO]).status_code == 200


def _in_two_documents(world: World) -> None:
    api = world.api()
    for more in (
        {"notifyUsers": [BEN, CLEO]},
        {"notificationId": "n-2", "notifyUsers": [BEN], "notifyAll": False},
        {"notificationId": "n-3", "notifyUsers": [CLEO], "notifyAll": False},
        {"notificationId": "n-4", "documentId": "doc-2", "notifyUsers": [BEN, CLEO]},
    ):
        assert api.add(**more).status_code == 200, more


def _several(world: World, **changes: str) -> None:
    """Store notifications of several people in two organizations, a waiting command and a dead letter."""
    api = world.api(**changes)
    for more in (
        {"notifyUsers": [BEN, CLEO]},
        {"notificationId": "n-2", "notifyUsers": [BEN]},
        {"notificationId": "n-3", "actionUser": BEN, "notifyUsers": [CLEO]},
        {"notificationId": "n-4", "notifyUsers": [CLEO]},
        {"notificationId": "n-5", "organizationId": "zeta", "notifyUsers": [BEN, CLEO]},
    ):
        assert api.add(**more).status_code == 200, more
    for organization, id_ in (("acme", "n-1"), ("zeta", "n-5")):
        read = {"id": id_, "readByUserIds": ["ben", "cleo"]}
        _enqueue(api, organization, id_, read)
        (line,) = api.services.outbox.due()
        claimed = api.services.outbox.claim(line)
        assert claimed is not None
        api.services.outbox.dead_letter(claimed, "for the test")
    for organization, id_ in (("acme", "n-1"), ("zeta", "n-5")):
        # The outcome is the same whether Velt is sent it before or after an erasure.
        named = [{"userId": "ben"}, {"userId": "cleo"}]
        _enqueue(api, organization, id_, {"id": id_, "notifyUsers": named})

    _overwrite_and_die(api, "n-6")


def _overwrite_and_die(api: Api, id_: str) -> None:
    """Leave what a killed process leaves while Velt may still refuse its add: the former record is kept."""
    assert api.add(notificationId=id_, notifyUsers=[BEN, CLEO]).status_code == 200
    add = requests.parse(requests.ADD, notification(notificationId=id_, notifyUsers=[CLEO]))
    command = Command(Kind.REGISTER, id_, split_add(add, "full").forward)
    (before,) = api.services.store.read("acme", [id_]).values()
    after = replace(before, audience=("cleo",), private={}, content=b'{"displayBodyMessage":"CANARY again"}')
    api.services.store.put(after, Entry(command, claim=new_claim(), lease_ms=0))


def _enqueue(api: Api, organization: str, id_: str, entry: JSON) -> None:
    data = {"organizationId": organization, "notifications": [entry]}
    api.services.store.enqueue(organization, id_, Entry(Command(Kind.CHANGE, id_, data)))


def _several_under_the_old_key(world: World) -> None:
    _several(world, RESOLVER_MASTER_KEYS=OLD)
    data = notification(organizationId="zeta", notifyUsers=[CLEO])
    del data["notificationId"]
    reply = world.api(RESOLVER_MASTER_KEYS=OLD).post(
        "/v2/notifications/add", {"data": data}, {**BACKEND, "idempotency-key": "order-1"}
    )
    assert reply.status_code == 200, reply.data


def _restored(world: World) -> None:
    """Restore a backup from before the erasure of a person."""
    _several(world)
    backup = {name: value for name, value in saved(world.redis).items() if not name.startswith(b"vnr:")}
    reply = world.api().post("/privacy/erase", {"userIds": ["ben"]}, PRIVACY_OPERATOR)
    assert reply.status_code == 202, reply.data
    world.settle()
    world.clear_redis()
    for name, (dump, left) in backup.items():
        world.redis.restore(name, left, dump)
    world.renew()
    assert world.is_gated()


def _change_headline(world: World) -> None:
    entry = {"id": "n-1", "displayHeadlineMessageTemplate": "CANARY by another caller"}
    _of_another_caller(world, "update", {"organizationId": "acme", "notifications": [entry]})


def _delete_too(world: World) -> None:
    _of_another_caller(world, "delete", {"organizationId": "acme", "notificationIds": ["n-1"]})


def _add_too(world: World) -> None:
    _of_another_caller(world, "add", notification(notifyUsers=[BEN], displayBodyMessage="CANARY, another"))


def _add_too_with_a_worker(world: World) -> None:
    """Another caller's add, during which a quick worker sends every command that isn't claimed."""
    _add_too(world)
    while world.stores.outbox.due():
        worker, stop = build_worker(load(world.environment)), threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        until(lambda: not world.stores.outbox.due(), "nothing due")
        stop.set()
        worker.wake()
        thread.join()  # it finishes what it has claimed, which may make the next command due


def _dismiss_too(world: World) -> None:
    bearer = {"authorization": f"Bearer {signed('ben', 'acme')}"}
    body = {"organizationId": "acme", "notificationId": "n-1"}
    reply = world.api().post(f"{CALLBACKS}/delete", body, bearer)
    assert reply.status_code == 200, reply.data


def _of_another_caller(world: World, path: str, data: JSON) -> None:
    reply = world.api().velt(f"notifications/{path}", data)
    assert reply.status_code == 200, reply.data


def _add_is_refused(world: World) -> None:
    """Velt refuses the add whose request still runs, so the former record is restored."""
    outbox = world.stores.outbox
    for claim in filter(None, map(outbox.claim, outbox.due())):
        if claim.command and claim.command.kind is Kind.REGISTER:
            outbox.roll_back(claim)
        else:
            outbox.release(claim, tried=False)


def _dead_letters_are_retried(world: World) -> None:
    reply = world.run("outbox", "retry", "--all")
    assert reply.status == 200, reply.body


RIVALS: dict[str, Rival] = {
    "update": _change_headline,
    "delete": _delete_too,
    "add": _add_too,
    "add-with-worker": _add_too_with_a_worker,
    "dismiss": _dismiss_too,
    "refusal": _add_is_refused,
    "retry": _dead_letters_are_retried,
}
"""What another caller, Velt or an operator does during the operation, connected to the servers directly."""
MOVE_BYTES_BACK = ("refusal", "retry")
"""Rivals that bring data about people back to places that an erasure has already searched."""
_PRIVACY = {"RESOLVER_PRIVACY_TOKENS": f"dpo:{PRIVACY}"}
_DEFERRED = {"RESOLVER_REGISTRATION": "deferred"}
_BEN = r"\bben\b"
_FOR_EACH = _is_success_for_the_notification

OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("add-inline", _add, "add", is_rivalled=True),
        Operation("add-deferred", _add_deferred, "add", is_rivalled=True, settings=_DEFERRED),
        Operation("add-with-key", _add_with_key, "add"),
        Operation("add-over", _add_over, "add", _one, is_rivalled=True),
        Operation(
            "add-refused",
            _add_over,
            "add",
            _velt_refuses,
            lambda reply: reply.status == 400,
            # An add that Velt refuses after it was acknowledged stays, with a dead letter.
            meets_faults_of_velt=False,
            may_leave_dead_letters=True,
        ),
        Operation("update", _update, "update", _one, _FOR_EACH, is_rivalled=True),
        Operation(
            "update-deferred",
            _update_deferred,
            "update",
            _one,
            _FOR_EACH,
            is_rivalled=True,
            settings=_DEFERRED,
        ),
        Operation("delete", _delete, "delete", _one, _FOR_EACH, is_rivalled=True),
        Operation(
            "delete-deferred",
            _delete_deferred,
            "delete",
            _one,
            _FOR_EACH,
            is_rivalled=True,
            settings=_DEFERRED,
        ),
        Operation("delete-for-one", _delete_for_one, "delete", _one, _FOR_EACH, is_rivalled=True),
        Operation("delete-scope", _delete_without_ids, "delete", _in_two_documents),
        Operation("delete-scope-for-one", _delete_without_ids_for_one, "delete", _in_two_documents),
        Operation("dismiss", _dismiss, "delete", _one, meets_faults_of_velt=False, is_rivalled=True),
        Operation(
            "erase-person",
            _erase_person,
            "erase",
            _several,
            is_immediate=False,
            is_rivalled=True,
            erases=_BEN,
            settings=_PRIVACY,
        ),
        Operation(
            "erase-user-data",
            _erase_user_data,
            "erase",
            _several,
            is_immediate=False,
            erases=_BEN,
            settings=_PRIVACY,
        ),
        Operation(
            "erase-by-command",
            _erase_by_command,
            "privacy erase",
            _several,
            is_immediate=False,
            erases=_BEN,
            settings=_PRIVACY,
        ),
        Operation(
            "erase-organization",
            _erase_organization,
            "erase",
            _several,
            is_immediate=False,
            erases=r"\bzeta\b",
            settings=_PRIVACY,
        ),
        Operation(
            "rotate",
            _rotate,
            "keys rotate",
            _several_under_the_old_key,
            is_rivalled=True,
            meets_faults_of_velt=False,
            withdraws="k1",
            settings={"RESOLVER_MASTER_KEYS": BOTH},
        ),
        Operation(
            "replay",
            _replay,
            "privacy replay",
            _restored,
            meets_faults_of_velt=False,
            is_immediate=False,
            erases=_BEN,
            settings=_PRIVACY,
        ),
    )
}
