# SPDX-License-Identifier: MIT
"""elisa.ko without one of its guards, beside the real one: faults that the checker of translations must find."""

from . import elisa, modules, mutations
from .run import TREE

ROOT = TREE / "build" / "planted"


def source(name):
    """A folder with the host's module as the mutation NAME (tests/mutations.toml) changes it."""
    mutation, = mutations.choose(mutations.load(), [name])
    folder = ROOT / name / "host"
    folder.mkdir(parents=True, exist_ok=True)
    for path in elisa.HOST_MODULE.iterdir():
        if path.name.endswith(modules.SOURCES):
            text = path.read_text(encoding="utf-8")
            text = mutation.applied(text) if f"host/{path.name}" == mutation.file else text
            to = folder / path.name
            if not to.is_file() or to.read_text(encoding="utf-8") != text:  # kbuild goes by time
                to.write_text(text, encoding="utf-8")
    return folder
