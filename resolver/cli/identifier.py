"""An id as it is typed at a terminal, which can spell what no id holds."""

from __future__ import annotations

from typing import Any

import click

from resolver.fields import is_sound


class _Identifier(click.ParamType[str]):
    name = "text"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        if not is_sound(str(value)):
            self.fail("this holds bytes that are no text, and no id does.", parameter, context)
        return str(value)


IDENTIFIER = _Identifier()
