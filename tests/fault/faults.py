# SPDX-License-Identifier: MIT
"""Sudden deaths and changes beneath: see docs/threat-model.md, "Faults"."""

import importlib
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))


def run(test, what, **options):
    importlib.import_module(what).run(test, **options)
