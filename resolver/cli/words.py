"""Sentences for people: as many things as there are."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or f'{one}s'}"
