"""The composition root: build all objects from the settings. Connections are opened on first use."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from redis import Redis

from resolver.audit.chain import Link
from resolver.audit.signing import Signer, is_stranger, proofs, trusted
from resolver.audit.trail import OnCheckpointFailure, Trail, log_checkpoint_failure
from resolver.auth.callers import Callers, PrivacyOperators
from resolver.auth.permission_provider import PermissionProvider
from resolver.auth.rate_limits import Calls, Failures
from resolver.auth.tokens import Tokens
from resolver.circuit_breaker import CircuitBreaker
from resolver.config import Settings
from resolver.crypto.envelope import Envelope, Keyring
from resolver.errors import SettingsError, UnknownSigner
from resolver.notifications.add import AddNotification
from resolver.notifications.delete import DeleteNotifications
from resolver.notifications.document_access import Documents
from resolver.notifications.finish_deletions import FinishDeletions
from resolver.notifications.get import GetNotifications
from resolver.notifications.idempotency import IdempotencyKeys
from resolver.notifications.read import ReadNotifications
from resolver.notifications.update import UpdateNotifications
from resolver.ops.readiness import Readiness
from resolver.ops.reply_budget import ReplyBudget
from resolver.outbox.queue import LEASE_MS, Outbox
from resolver.outbox.registration import Registrations
from resolver.outbox.rewriting import Rewriting
from resolver.outbox.sender import GRACE_MS, WARN_EVERY_SECONDS, Throttle, VeltSender
from resolver.outbox.wake import WakeUp
from resolver.outbox.worker import Worker
from resolver.privacy.erase import Erase
from resolver.privacy.eraser import Eraser
from resolver.privacy.erasure_store import ErasureStore
from resolver.privacy.erasures import Erasures
from resolver.privacy.export import Export
from resolver.store.checkpoints import Checkpoint, Checkpoints
from resolver.store.connect import connect
from resolver.store.database_identity import DatabaseIdentity, Identity
from resolver.store.guard import Guard
from resolver.store.key_history import KeyHistory
from resolver.store.keyspace import Keyspace
from resolver.store.lease import Lease
from resolver.store.records import RecordStore, Retention
from resolver.store.restored_backup import Certificates
from resolver.store.revocations import Revocations
from resolver.store.unfinished_deletions import UnfinishedDeletions
from resolver.velt.client import VeltClient

_log = structlog.get_logger(__name__)
REDIS_CONNECTIONS = 16
"""Connections of a web process besides the one that all its requests share."""
OUTBOUND_CALLS = 32
"""Simultaneous calls of a web process to Velt, and as many to the Permission Provider."""
WORKER_THREADS = 8


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is stored in Redis."""

    store: RecordStore
    outbox: Outbox
    redis: Redis
    keyspace: Keyspace
    identity: Identity
    envelope: Envelope
    erasure_store: ErasureStore
    certificates: Certificates | None
    history: KeyHistory
    idempotency: IdempotencyKeys
    unfinished_deletions: UnfinishedDeletions
    registrations: Registrations
    revocations: Revocations


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    store: RecordStore
    outbox: Outbox
    velt: VeltClient
    callers: Callers
    privacy_operators: PrivacyOperators | None
    tokens: Tokens
    add: AddNotification
    update: UpdateNotifications
    get: GetNotifications
    delete: DeleteNotifications
    read_notifications: ReadNotifications
    trail: Trail
    calls: Calls | None
    failures: Failures | None
    replies: ReplyBudget
    export: Export
    erasures: Erasures
    keyspace: Keyspace
    revocations: Revocations
    readiness: Readiness

    def pseudonym(self, names: Iterable[str]) -> list[str]:
        """Return pseudonyms for the audit trail, so that an erased person can't be found in it."""
        return [self.keyspace.pseudonym(name) for name in names]


def build(settings: Settings, *, standard: int = 1, velt: VeltClient | None = None) -> Services:
    """Build the services of a web process. Call it after fork: processes must not share connection pools.
    `standard`: the file descriptor for an audit log of `-`. `velt`: replaces the usual client."""
    stores = build_stores(settings, connections=REDIS_CONNECTIONS)
    store, outbox = stores.store, stores.outbox
    velt = velt or build_velt(settings, connections=OUTBOUND_CALLS)
    slots = threading.Semaphore(OUTBOUND_CALLS) if settings.registration == "inline" else None
    sender = VeltSender(
        store,
        outbox,
        velt,
        CircuitBreaker("velt"),
        settings.deadline_ms + GRACE_MS,
        Throttle(WARN_EVERY_SECONDS),
        slots,
    )
    tokens = Tokens(settings.token, settings.outbound)
    tokens.start()
    limit = settings.rate_limit
    return Services(
        settings=settings,
        store=store,
        outbox=outbox,
        velt=velt,
        callers=Callers(settings.velt_api_key, settings.caller_tokens if settings.knows_backends else {}),
        privacy_operators=PrivacyOperators(settings.privacy_tokens) if settings.privacy_tokens else None,
        tokens=tokens,
        add=AddNotification(store, outbox, sender, settings.people, stores.idempotency, stores.registrations),
        update=UpdateNotifications(store, sender, settings.people, settings.read_policy),
        get=GetNotifications(store, velt),
        delete=DeleteNotifications(store, sender, velt, stores.unfinished_deletions),
        read_notifications=build_delivery(settings, stores),
        trail=build_trail(settings, stores, standard=standard),
        calls=Calls(stores.redis, store.guard, stores.keyspace, limit) if limit else None,
        failures=Failures(limit) if limit else None,
        replies=ReplyBudget(),
        export=Export(store, outbox, stores.erasure_store, stores.revocations),
        erasures=build_erasures(settings, stores),
        keyspace=stores.keyspace,
        revocations=stores.revocations,
        readiness=Readiness(store.state),
    )


def build_delivery(settings: Settings, stores: Stores) -> ReadNotifications:
    permission = settings.permission
    provider = PermissionProvider(permission, OUTBOUND_CALLS, settings.outbound) if permission else None
    policies = settings.read_policy, settings.delete_policy
    return ReadNotifications(stores.store, stores.revocations, *policies, Documents(provider))


def build_trail(
    settings: Settings,
    stores: Stores,
    *,
    standard: int = 1,
    on_checkpoint_failure: OnCheckpointFailure = log_checkpoint_failure,
) -> Trail:
    checkpoints = Checkpoints(stores.redis, stores.store.guard)

    def keep(head: Link, at: str) -> None:
        checkpoints.keep(Checkpoint(*head, at))

    signer = Signer(settings.signing_keys)
    return Trail(
        settings.audit_log, signer, keep, standard=standard, on_checkpoint_failure=on_checkpoint_failure
    )


def build_worker(settings: Settings, breaker: CircuitBreaker | None = None) -> Worker:
    """Build a worker. Raises SettingsError without VELT_AUTH_TOKEN, which is optional for other processes.
    `breaker`: the circuit breaker of its calls to Velt, instead of a new one."""
    if settings.velt_auth_token is None:
        raise SettingsError(["VELT_AUTH_TOKEN: is required by a worker"])
    stores = build_stores(settings, connections=WORKER_THREADS + 4)
    velt = build_velt(settings, connections=WORKER_THREADS)
    breaker, said = breaker or CircuitBreaker("velt"), Throttle(WARN_EVERY_SECONDS)
    sender = VeltSender(stores.store, stores.outbox, velt, breaker, LEASE_MS, said, None)
    return Worker(stores.outbox, sender, WakeUp(stores.redis), WORKER_THREADS, settings.outbox_max_attempts)


def public_keys(settings: Settings, stores: Stores) -> tuple[str, ...]:
    """Return the public keys whose signatures are accepted: our own, then those of former signing keys."""
    return trusted(Signer(settings.signing_keys).public_keys, stores.history.signers())


def vouched_keys(settings: Settings, stores: Stores) -> tuple[str, ...]:
    """Return the public key that signs, then those that stay trusted without their private keys."""
    return trusted([Signer(settings.signing_keys).public_key], stores.history.signers())


def is_unknown_signer(settings: Settings, stores: Stores) -> bool:
    """Whether only other keys have signed in this database."""
    return is_stranger(Signer(settings.signing_keys), stores.history.signers())


def require_known_signer(settings: Settings, stores: Stores) -> None:
    if is_unknown_signer(settings, stores):
        raise UnknownSigner()


def note_signers(settings: Settings, stores: Stores, *, adopts: bool = False) -> None:
    """Note the public keys of this deployment, and that it trusts the former ones. In a database of other
    keys only with `adopts`: `check` and operators' commands say so."""
    signer, noted = Signer(settings.signing_keys), stores.history.signers()
    if is_stranger(signer, noted) and not adopts:
        _log.error("signing_key_unknown")
    elif missing := proofs(signer, noted):
        stores.history.note_signers(missing)


def build_erasures(settings: Settings, stores: Stores) -> Erasures:
    return Erasures(stores.erasure_store, lambda: public_keys(settings, stores))


def build_eraser(settings: Settings, stores: Stores, trail: Trail) -> Eraser:
    rewriting = Rewriting(stores.redis, stores.store.guard, stores.envelope, stores.outbox)
    return Eraser(
        erasure_store=stores.erasure_store,
        lease=Lease(stores.redis, stores.store.guard),
        erase=Erase(stores.store, rewriting),
        outbox=stores.outbox,
        velt=build_velt(settings),
        trail=trail,
        signer=Signer(settings.signing_keys),
        keys=lambda: public_keys(settings, stores),
        keyspace=stores.keyspace,
        certificates=stores.certificates,
        unfinished=stores.unfinished_deletions,
    )


def build_finish_deletions(stores: Stores, trail: Trail) -> FinishDeletions:
    rewriting = Rewriting(stores.redis, stores.store.guard, stores.envelope, stores.outbox)
    lease = Lease(stores.redis, stores.store.guard)
    return FinishDeletions(stores.store, stores.outbox, rewriting, stores.unfinished_deletions, lease, trail)


def build_stores(settings: Settings, connections: int = 2, *, replaying: bool = False) -> Stores:
    """Build the stores. `replaying`: don't refuse a restored backup, since its erasures are being
    repeated."""
    redis = connect(settings.redis_url, connections)
    keyspace, envelope = Keyspace(settings.index_key), Envelope(Keyring(settings.master_keys))
    certificates = Certificates(settings.certificate_dir) if settings.certificate_dir else None
    trusted = None if replaying else certificates
    retention = Retention(settings.retention_days, settings.redis_wait)
    identity = Identity.of(keyspace, settings.velt_api_key)
    guard = Guard(redis, DatabaseIdentity(redis, identity, keyspace, envelope), trusted)
    outbox = Outbox(redis, guard, envelope)
    return Stores(
        store=RecordStore(redis, guard, keyspace, envelope, retention),
        outbox=outbox,
        redis=redis,
        keyspace=keyspace,
        identity=identity,
        envelope=envelope,
        erasure_store=ErasureStore(redis, guard, envelope, keyspace),
        certificates=certificates,
        history=KeyHistory(redis, guard),
        idempotency=IdempotencyKeys(redis, guard, envelope),
        unfinished_deletions=UnfinishedDeletions(redis, guard, envelope),
        registrations=Registrations(redis, guard, keyspace, envelope, outbox.dead_letters),
        revocations=Revocations(redis, guard, keyspace, envelope, retention.replicas),
    )


def build_velt(settings: Settings, connections: int = 1) -> VeltClient:
    return VeltClient(
        settings.velt_api_url,
        settings.velt_api_key,
        settings.velt_auth_token,
        connections,
        settings.outbound,
    )
