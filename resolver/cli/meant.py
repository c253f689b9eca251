"""Whether what was asked for at a terminal can be meant so; said with the names that its options have."""

from __future__ import annotations

import click

from resolver.privacy.erasure_request import ErasureRequest, Odd
from resolver.validation.fields import LONGEST_ID

_ODD = {
    Odd.NAMES: f"User ids, addresses and organizations have 1 to {LONGEST_ID} characters, and no odd ones.",
    Odd.WHOLE: "--organization takes all that it has: no --user, --email or --mentioning beside it.",
    Odd.VELT_NEEDS_USERS: "--velt-user-data takes --user: Velt knows people by their ids alone.",
    Odd.NO_WORD: "--mentioning takes a name with a word in it.",
}


def ensure_meant(order: ErasureRequest, when_nobody: str) -> None:
    if problem := order.problem():
        raise click.UsageError(_ODD.get(problem, when_nobody))
