"""The one exception of the sandbox, and which HTTP code goes with which of Velt's error statuses."""

HTTP_CODES = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class VeltError(Exception):
    """A request answered with Velt's error shape. `code` is only given where HTTP has a better word."""

    def __init__(self, status: str, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or HTTP_CODES[status]

    def shape(self) -> dict[str, dict[str, str]]:
        return {"error": {"message": self.message, "status": self.status}}


def invalid(message: str) -> VeltError:
    return VeltError("INVALID_ARGUMENT", message)


def status_for(code: int) -> str:
    """The Velt status that fits an HTTP code, also for codes Velt never documents."""
    for status, known in HTTP_CODES.items():
        if known == code:
            return status
    return "INTERNAL" if code >= HTTP_CODES["INTERNAL"] else "INVALID_ARGUMENT"
