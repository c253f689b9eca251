"""CPU per request as bars, one panel a scenario: a plain SVG that needs nothing to draw it."""

from __future__ import annotations

from html import escape
from typing import Any

from bench.rounds import median

JSON = dict[str, Any]
_WIDTH, _LABELS, _FIGURES, _BAR, _GAP, _TITLE = 760, 190, 90, 18, 6, 34
_OWN, _STORE = "#2f6f9f", "#e0a458"
_STYLE = "text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600}"


def svg(found: JSON) -> str:
    top, parts = 30, [_legend()]
    for scenario in found["scenarios"]:
        parts.append(f'<text class="t" x="0" y="{top + 20}">{escape(scenario["name"])}</text>')
        top += _TITLE
        sides = {
            name: (median(samples, "application_us"), median(samples, "store_us"))
            for name, samples in scenario["sides"].items()
        }
        longest = max(own + store for own, store in sides.values()) or 1.0
        for name, (own, store) in sides.items():
            parts.append(_row(name, own, store, top, (_WIDTH - _LABELS - _FIGURES) / longest))
            top += _BAR + _GAP
    body = "\n".join(parts)
    size = f'viewBox="0 0 {_WIDTH} {top + 10}" width="{_WIDTH}" height="{top + 10}"'
    ground = f'<rect width="{_WIDTH}" height="{top + 10}" fill="#fff"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{_STYLE}</style>'
    return f"{head}\n{ground}\n{body}\n</svg>\n"


def _legend() -> str:
    return (
        '<text class="t" x="0" y="16">CPU per request, µs</text>'
        f'<rect x="190" y="5" width="12" height="12" fill="{_OWN}"/><text x="207" y="16">application</text>'
        f'<rect x="300" y="5" width="12" height="12" fill="{_STORE}"/><text x="317" y="16">its store</text>'
    )


def _row(name: str, own: float, store: float, top: int, scale: float) -> str:
    middle, end = top + 14, _LABELS + (own + store) * scale
    return (
        f'<text x="0" y="{middle}">{escape(name)}</text>'
        f'<rect x="{_LABELS}" y="{top}" width="{own * scale:.1f}" height="{_BAR}" fill="{_OWN}"/>'
        f'<rect x="{_LABELS + own * scale:.1f}" y="{top}" width="{store * scale:.1f}" height="{_BAR}" '
        f'fill="{_STORE}"/><text x="{end + 6:.1f}" y="{middle}">{own + store:,.0f}</text>'
    )
