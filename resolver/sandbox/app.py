"""The Flask application: Velt's paths, the control paths, and Velt's shape for everything else."""

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from resolver.sandbox.control import control
from resolver.sandbox.errors import VeltError, status_for
from resolver.sandbox.replies import failure
from resolver.sandbox.state import State
from resolver.sandbox.velt_api import velt_api


def create_app(api_key: str, auth_token: str) -> Flask:
    app = Flask(__name__, static_folder=None)
    # Merged slashes would answer with a redirect, which no client of Velt's expects.
    app.url_map.merge_slashes = False
    state = State(api_key)
    app.register_blueprint(velt_api(state, auth_token))
    app.register_blueprint(control(state))
    app.register_error_handler(VeltError, failure)
    app.register_error_handler(HTTPException, _http_failure)
    return app


def _http_failure(error: HTTPException) -> Response:
    code = error.code or 500
    response = failure(VeltError(status_for(code), f"{error.name}.", code))
    response.headers.extend(_allow(error))
    return response


def _allow(error: HTTPException) -> list[tuple[str, str]]:
    return [(name, value) for name, value in error.get_headers() if name == "Allow"]
