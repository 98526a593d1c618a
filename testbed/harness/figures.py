# SPDX-License-Identifier: MIT
"""Figures with limits: a table for people, build/figures/NAME.json for programs."""

import json

from .run import TREE
from .say import say

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

    def write(self):
        """Writes the file; 1 if a figure is not met, else 0."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.json"
        path.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        say(f"written to {path.relative_to(TREE)}")
        return 0 if all(row["met"] for row in self.rows) else 1
