"""/v2/users/data/delete and /v2/users/data/delete/status: a job that takes a while at Velt."""

import secrets
from dataclasses import dataclass
from typing import Any

from resolver.sandbox.replies import VeltError
from resolver.sandbox.state import State
from resolver.sandbox.validation import Fields, filled_list_of, list_of, text

_MOST_USERS = 30
"""Velt silently ignores further users, and so does the sandbox."""


@dataclass(frozen=True)
class Unwrapped:
    """The reply of these two endpoints, which isn't wrapped in `result`."""

    message: str
    data: Any
    code: int

    def shape(self) -> dict[str, Any]:
        return {"status": "success", "message": self.message, "data": self.data, "statusCode": self.code}


def delete_user_data(state: State, data: Fields) -> Unwrapped:
    users = set(data.required("userIds", filled_list_of(text))[:_MOST_USERS])
    organizations = data.optional("organizationIds", list_of(text))
    for record in list(state.records):
        if organizations and record.organization_id not in organizations:
            continue
        left = [person for person in record.sent.get("notifyUsers", []) if person["userId"] not in users]
        if record.sent["actionUser"]["userId"] in users or (record.people and not left):
            state.records.remove(record)
        else:
            record.sent["notifyUsers"] = left
    job = secrets.token_hex(8)
    state.jobs[job] = 1
    found = {"jobId": job, "tasksCount": len(users)}
    return Unwrapped("Data deletion process has been initiated.", found, 202)


def deletion_status(state: State, data: Fields) -> Unwrapped:
    """Report the job as not done at the first call, and as done at the second."""
    job = data.required("jobId", text)
    if job not in state.jobs:
        raise VeltError("NOT_FOUND", "Job not found.")
    left, state.jobs[job] = state.jobs[job], 0
    found = {"isDeleteCompleted": not left, "tasksLeft": left}
    return Unwrapped("Data deletion status retrieved successfully.", found, 200)
