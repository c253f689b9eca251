"""The composition root: settings in, working parts out. Nothing is connected until it is used."""

from __future__ import annotations

from dataclasses import dataclass

from resolver.access.callers import Callers
from resolver.access.tokens import Tokens
from resolver.notifications.add import AddNotification
from resolver.notifications.delete import DeleteNotifications
from resolver.notifications.delivery import Delivery
from resolver.notifications.get import GetNotifications
from resolver.notifications.update import UpdateNotifications
from resolver.settings import Settings
from resolver.vault.connect import connect
from resolver.vault.envelope import Envelope
from resolver.vault.keyring import Keyring
from resolver.vault.keyspace import Keyspace
from resolver.vault.store import Vault
from resolver.velt.client import VeltClient

THREADS = 8
"""Of one web process; the pools are as large, and a little more."""


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    vault: Vault
    velt: VeltClient
    callers: Callers
    tokens: Tokens
    add: AddNotification
    update: UpdateNotifications
    get: GetNotifications
    delete: DeleteNotifications
    delivery: Delivery


def build(settings: Settings) -> Services:
    """Call it after fork: the pools made here must not be shared between processes."""
    vault = build_vault(settings)
    velt = VeltClient(settings.velt_api_url, settings.velt_api_key, settings.velt_auth_token, THREADS)
    return Services(
        settings=settings,
        vault=vault,
        velt=velt,
        callers=Callers(settings.velt_api_key, settings.caller_tokens),
        tokens=Tokens(settings.token),
        add=AddNotification(vault, velt, settings.people),
        update=UpdateNotifications(vault, velt, settings.people),
        get=GetNotifications(vault, velt),
        delete=DeleteNotifications(vault, velt),
        delivery=Delivery(vault, settings.read_policy, settings.delete_policy),
    )


def build_vault(settings: Settings) -> Vault:
    return Vault(
        connect(settings.redis_url, connections=THREADS + 2),
        Keyspace(settings.index_key),
        Envelope(Keyring(settings.master_keys)),
        settings.retention_days,
    )
