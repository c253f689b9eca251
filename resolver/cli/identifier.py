"""An id as it is typed at a terminal, which can spell what no id holds."""

from __future__ import annotations

from typing import Any

import click

from resolver.validation.fields import LONGEST_ID, is_identifier, is_valid_unicode


class _Identifier(click.ParamType[str]):
    name = "text"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        if not is_valid_unicode(str(value)):
            self.fail("this holds bytes that are no text, and no id does.", parameter, context)
        if not is_identifier(str(value)):
            # An unset variable of a script must not read as an option that was left out.
            self.fail(f"an id has 1 to {LONGEST_ID} characters.", parameter, context)
        return str(value)


IDENTIFIER = _Identifier()
