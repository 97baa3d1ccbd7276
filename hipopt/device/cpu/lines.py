"""From an instruction's address to the capsule's line, for the reason of a fault."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from hipopt.device import process

_TIMEOUT_S = 5.0
_MEMORY_BYTES = 1 << 30


def source_line(program: Path, instruction: int) -> int | None:
    """The line of kernel.hip that the instruction came from, through inlined functions.

    None where binutils' addr2line is missing or knows none. Only the wording of a negative
    verdict depends on it.
    """
    addr2line = shutil.which("addr2line")
    if addr2line is None or instruction == 0:
        return None
    done = process.run(
        [addr2line, "-i", "-e", str(program), hex(instruction)],
        cwd=program.parent,
        environ={"PATH": os.defpath, "LC_ALL": "C"},
        timeout_s=_TIMEOUT_S,
        memory_bytes=_MEMORY_BYTES,
    )
    # Functions that are not inlined may go by the name of the file that the compiler was given.
    found = re.search(r"^(?:.*/)?(?:kernel\.hip|unit\.cpp):(\d+)", done.output, re.MULTILINE)
    return int(found[1]) if found else None
