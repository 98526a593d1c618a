# SPDX-License-Identifier: MIT
"""The emulator's checker of translations without the emulator: tests/unit/translations/model.cc."""

import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
MODEL = TREE / "tests" / "unit" / "translations"
CHECKER = TREE / "testbed" / "emulator" / "instrument"


def main():
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "model"
        subprocess.run(["g++", "-O1", "-g", "-w", "-fsanitize=address,undefined", f"-I{MODEL / 'fake'}", f"-I{CHECKER}",
                        MODEL / "model.cc", CHECKER / "translations.cc", CHECKER / "invalidate.cc", "-o", program], check=True)
        return subprocess.run([program], check=False).returncode


sys.exit(main())
