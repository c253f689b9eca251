"""JSON schemas of what is taken, derived from the marshmallow schemas that check it: said once."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema
from marshmallow.fields import Field, Nested

from resolver.validation.fields import Strict
from resolver.velt.schema import Request, UnknownKeys

JSON = dict[str, Any]


def schema_of(schema: Schema) -> JSON:
    fields = schema.fields
    required = [name for name, field in fields.items() if field.required]
    properties = {name: _field(field) for name, field in fields.items()}
    own = schema if isinstance(schema, Request) else None
    if own:
        properties |= {name: {"not": {}} for name in own.misplaced}
    refuses = own is not None and own.unknown_keys is UnknownKeys.REFUSED
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        **({"additionalProperties": False} if refuses else {}),
        **(own.between if own else {}),
    }


def _field(field: Field[Any]) -> JSON:
    if isinstance(field, Nested):
        return schema_of(field.schema)
    if not isinstance(field, Strict):
        raise TypeError(f"{field!r} says nothing of itself")
    return {"anyOf": [field.described, {"type": "null"}]} if field.allow_none else dict(field.described)
