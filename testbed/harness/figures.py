# SPDX-License-Identifier: MIT
"""Figures with limits: a table for people, build/figures/NAME.json for programs."""

import csv
import json

from .run import TREE
from .say import say

COLOURS = {"ELISA": "#2a7", "VMCALL": "#c53", "direct": "#57a", "ELISA, not vetted": "#7b5"}
FOLDER = TREE / "build" / "figures"
SENSES = {"max": lambda value, limit: value <= limit, "min": lambda value, limit: value >= limit,
          "equal": lambda value, limit: value == limit}


class Figures:
    def __init__(self, name):
        self.name, self.rows = name, []

    def add(self, name, value, unit, limit, sense="max"):
        met = SENSES[sense](value, limit)
        self.rows.append({"name": name, "value": value, "unit": unit, "limit": limit, "sense": sense, "met": met})
        shown = f"{value:.2f}" if isinstance(value, float) else str(value)
        relation = {"max": "at most", "min": "at least", "equal": "exactly"}[sense]
        say(f"{name:58} {shown:>8} {unit:8} {relation} {limit:<6} {'met' if met else 'NOT MET'}")

    def write_table(self, columns, rows):
        """The figures beside those with limits: build/figures/NAME.csv."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        say(f"written to {path.relative_to(TREE)}")

    def write_bars(self, title, bars):
        """build/figures/NAME.svg: a bar for each (label, value, colour)."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        most = max(value for _, value, _ in bars)
        lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{40 + 22 * len(bars)}" font-family="sans-serif" '
                 f'font-size="12">', f'<text x="8" y="20">{title}</text>']
        for i, (label, value, colour) in enumerate(bars):
            width = max(2, 400 * value / most)
            lines.append(f'<text x="8" y="{50 + 22 * i}">{label}</text><rect x="170" y="{38 + 22 * i}" width="{width:.0f}" '
                         f'height="16" fill="{colour}"/><text x="{176 + width:.0f}" y="{50 + 22 * i}">{value:.0f}</text>')
        path = FOLDER / f"{self.name}.svg"
        path.write_text("\n".join([*lines, "</svg>", ""]), encoding="utf-8")
        say(f"written to {path.relative_to(TREE)}")

    def write(self):
        """Writes the file; 1 if a figure is not met, else 0."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.json"
        path.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        say(f"written to {path.relative_to(TREE)}")
        return 0 if all(row["met"] for row in self.rows) else 1
