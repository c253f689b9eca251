"""Figures over time, a panel each: a plain SVG that needs nothing to draw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _PANEL, _LEFT, _TOP = 760, 90, 150, 24
_STYLE = "text{font:13px system-ui,sans-serif;fill:#24292f}"
Points = Sequence[tuple[float, float]]


def svg(lines: Mapping[str, Points], unit: str) -> str:
    """Each panel begins at zero, so that a flat line looks flat."""
    height = _TOP + _PANEL * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, (name, points) in enumerate(lines.items()):
        parts += _panel(name, points, _TOP + number * _PANEL)
    last = max(at for points in lines.values() for at, _ in points)
    parts.append(f'<text x="{_LEFT}" y="14">0 to {last:.0f} {escape(unit)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(name: str, points: Points, top: int) -> list[str]:
    most = max(value for _, value in points) or 1.0
    last = max(at for at, _ in points) or 1.0
    across, down = (_WIDTH - _LEFT - 10) / last, (_PANEL - 20) / most
    bottom = top + _PANEL - 16
    drawn = " ".join(f"{_LEFT + at * across:.1f},{bottom - value * down:.1f}" for at, value in points)
    return [
        f'<text x="0" y="{top + 14}">{escape(name)}</text>',
        f'<text x="0" y="{top + 32}">up to {most:,.1f}</text>',
        f'<line x1="{_LEFT}" y1="{bottom}" x2="{_WIDTH - 10}" y2="{bottom}" stroke="#d0d7de"/>',
        f'<polyline points="{drawn}" fill="none" stroke="#2f6f9f" stroke-width="1.5"/>',
    ]
