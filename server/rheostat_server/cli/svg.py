"""SVG, as far as charts need it: lines, bands, bars and words. Pure."""

from collections.abc import Sequence
from html import escape

Point = tuple[float, float]
FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


class Drawing:
    """A picture of ``width`` by ``height`` px on white, put together from the back to the front."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" font-family="{escape(FONT)}">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def line(self, points: Sequence[Point], color: str, width: float = 2, dash: str = "") -> None:
        """Draw a line through the points."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<polyline points="{_points(points)}" fill="none" stroke="{color}" stroke-width="{width:g}" '
            f'stroke-linejoin="round"{dashed}/>'
        )

    def area(self, points: Sequence[Point], color: str, opacity: float = 0.2) -> None:
        """Fill the area within the points."""
        self._parts.append(f'<polygon points="{_points(points)}" fill="{color}" fill-opacity="{opacity:g}"/>')

    def bar(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """Draw a bar from its upper left corner."""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" fill="{color}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        anchor: str = "start",
        color: str = "#333",
        bold: bool = False,
    ) -> None:
        """Write words; ``y`` is their base line, ``anchor`` start, middle or end."""
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{color}"{weight}>'
            f"{escape(words)}</text>"
        )

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>"]) + "\n"


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
