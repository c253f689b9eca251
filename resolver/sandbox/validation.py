"""Read JSON objects field by field. Every error names the field by its full path.

A check takes a value and its path, and returns the value as its type or raises INVALID_ARGUMENT.
A field with `null` has the wrong type: it is not the same as an absent field.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from resolver.sandbox.replies import invalid

T = TypeVar("T")
Json: TypeAlias = dict[str, Any]
Check: TypeAlias = Callable[[object, str], T]


def string(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"{path} must be a string")
    return value


def text(value: object, path: str) -> str:
    if not string(value, path):
        raise invalid(f"{path} must not be empty")
    return str(value)


def flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(f"{path} must be a boolean")
    return value


def mapping(value: object, path: str) -> Json:
    if not isinstance(value, dict):
        raise invalid(f"{path} must be an object")
    return value


def number(low: float, high: float) -> Check[float]:
    def check(value: object, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise invalid(f"{path} must be a number between {low} and {high}")
        return value

    return check


def integer(low: int, high: int) -> Check[int]:
    """Check an integer. As in JavaScript, 10.0 is an integer; true and "10" are not."""

    def check(value: object, path: str) -> int:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(whole, bool) or not isinstance(whole, int) or not low <= whole <= high:
            raise invalid(f"{path} must be an integer between {low} and {high}")
        return whole

    return check


def one_of(*allowed: str) -> Check[str]:
    def check(value: object, path: str) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise invalid(f"{path} must be one of {', '.join(allowed)}")
        return value

    return check


def list_of(check: Check[T]) -> Check[list[T]]:
    def check_list(value: object, path: str) -> list[T]:
        if not isinstance(value, list):
            raise invalid(f"{path} must be an array")
        return [check(item, f"{path}[{position}]") for position, item in enumerate(value)]

    return check_list


def filled_list_of(check: Check[T]) -> Check[list[T]]:
    def check_list(value: object, path: str) -> list[T]:
        items = list_of(check)(value, path)
        if not items:
            raise invalid(f"{path} must not be empty")
        return items

    return check_list


def map_of(check: Check[T]) -> Check[dict[str, T]]:
    def check_map(value: object, path: str) -> dict[str, T]:
        return {key: check(item, f"{path}.{key}") for key, item in mapping(value, path).items()}

    return check_map


def user(value: object, path: str) -> Json:
    """Check a Velt user: `userId` is required, other fields are free."""
    person = mapping(value, path)
    Fields(person, path).required("userId", text)
    return person


class Fields:
    """One JSON object whose fields are read by name, with the check that gives them their type."""

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self.values = values
        self._path = path

    def required(self, name: str, check: Check[T]) -> T:
        if name not in self.values:
            raise invalid(f"{self._at(name)} is required")
        return check(self.values[name], self._at(name))

    def optional(self, name: str, check: Check[T]) -> T | None:
        return self.required(name, check) if name in self.values else None

    def optionals(self, checks: Mapping[str, Check[Any]]) -> None:
        for name, check in checks.items():
            self.optional(name, check)

    def is_set(self, name: str) -> bool:
        """Whether an optional flag is true."""
        return self.optional(name, flag) is True

    def refuse_others(self, known: set[str]) -> None:
        for name in self.values.keys() - known:
            raise invalid(f"{self._at(name)} is not a known field")

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name
