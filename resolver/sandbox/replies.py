"""How answers look on the wire."""

from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response

from resolver.sandbox.errors import VeltError


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
