"""How the sandbox answers where Velt's documents leave it open: one way unless another is declared."""

from dataclasses import dataclass, fields
from typing import ClassVar

from resolver.sandbox.validation import Check, Fields, Json, flag, integer, one_of

_LONGEST_LAG_MS = 60_000


@dataclass(frozen=True)
class Answers:
    addAgain: str = "replace"
    """An id that exists: replaced whole, refused, left as it was, or a second one beside it."""
    unknownUpdate: str = "reported"
    """An id that doesn't: reported as failed, the whole request refused, or passed over as done."""
    unknownDelete: str = "reported"
    getFlag: bool = False
    """Whether a get returns `isNotificationResolverUsed`."""
    getSource: bool = True
    displayFields: str = "as sent"
    """Of a get: what was sent, or words of Velt's own where nothing was."""
    addWithoutUsers: str = "taken"
    """An add that leaves `notifyUsers` out: taken, or refused."""
    addWithEmptyUsers: str = "taken"
    blankUpdate: str = "taken"
    """An update whose texts are empty: taken, or refused."""
    deleteForUser: str = "copy"
    """What a deletion with `userId` takes: that person's copy, or the row for everyone."""
    lagMs: int = 0
    """How old what a get sees is."""

    CHECKS: ClassVar[dict[str, Check[object]]] = {
        "addAgain": one_of("replace", "refuse", "keep", "duplicate"),
        "unknownUpdate": one_of("reported", "refuse", "success"),
        "unknownDelete": one_of("reported", "refuse", "success"),
        "getFlag": flag,
        "getSource": flag,
        "displayFields": one_of("as sent", "invented"),
        "addWithoutUsers": one_of("taken", "refused"),
        "addWithEmptyUsers": one_of("taken", "refused"),
        "blankUpdate": one_of("taken", "refused"),
        "deleteForUser": one_of("copy", "row"),
        "lagMs": integer(0, _LONGEST_LAG_MS),
    }

    def declared(self, body: Fields) -> "Answers":
        """Those that the body names; the others stay as they were."""
        body.refuse_others(set(self.CHECKS))
        return Answers(**{**self.shape(), **{n: body.required(n, self.CHECKS[n]) for n in body.values}})

    def shape(self) -> Json:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def reports(answer: str, *, known: bool) -> bool:
    """Whether it is said of an id that it was found."""
    return known or answer == "success"
