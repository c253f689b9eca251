"""Replies and errors in Velt's shape."""

from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response

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
    """An error that is answered in Velt's shape. `code`: an HTTP code other than the status's own."""

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
    """Return the Velt status for an HTTP code, even one that Velt doesn't document."""
    for status, known in HTTP_CODES.items():
        if known == code:
            return status
    return "INTERNAL" if code >= HTTP_CODES["INTERNAL"] else "INVALID_ARGUMENT"


@dataclass(frozen=True)
class Success:
    message: str
    data: Any
    page_token: str | None = None
    code: int = 200

    def shape(self) -> dict[str, Any]:
        result = {"status": "success", "message": self.message, "data": self.data}
        if self.page_token is not None:
            result["pageToken"] = self.page_token
        return {"result": result}


def json_response(body: Any, code: int = 200) -> Response:
    return Response(orjson.dumps(body), code, mimetype="application/json")


def failure(error: VeltError) -> Response:
    return json_response(error.shape(), error.code)
