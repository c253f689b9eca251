"""All the sandbox knows, in memory, behind one lock."""

from threading import RLock

from resolver.sandbox.access import Access
from resolver.sandbox.answers import Answers
from resolver.sandbox.faults import Faults
from resolver.sandbox.ledger import Ledger
from resolver.sandbox.records import Records


class State:
    """Whoever reads or changes a part holds `lock`; only waiting happens outside of it."""

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        self.lock = RLock()
        self.faults = Faults()
        self._empty()

    def reset(self) -> None:
        with self.lock:
            self.faults.clear()
            self._empty()

    def _empty(self) -> None:
        self.access = Access()
        self.answers = Answers()
        self.ledger = Ledger()
        self.records = Records()
        self.preferences: dict[tuple[str, str, str | None], dict[str, str]] = {}
        """Channels by (organization, user, document); document None is the organization's level."""
        self.jobs: dict[str, int] = {}
        """Deletions of people's data: how many looks at each until it is done."""
        self.workspace: dict[str, object] = {"useNotificationService": False, "notificationServiceConfig": {}}
