"""The bar: a Flask view that does nothing."""

from __future__ import annotations

from flask import Flask

from bench.people import GET

app = Flask("empty")


@app.post(GET)
def empty() -> str:
    return "{}"


@app.get("/readyz")
def ready() -> str:
    return "ready"
