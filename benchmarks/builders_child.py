"""Builds the kernel's equivalent with torch, some times anew; prints torch's version and seconds.

In a process of its own: torch takes hundreds of megabytes, and what it loads it never unloads.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch.utils import cpp_extension

from benchmarks.builders import SOURCE


def main() -> None:
    scratch, builds = Path(sys.argv[1]), int(sys.argv[2])
    seconds = []
    for number in range(builds):
        folder = scratch / str(number)
        folder.mkdir()
        started = time.perf_counter()
        module = cpp_extension.load_inline(
            f"gelu_{number}", SOURCE, functions=["forward"], build_directory=str(folder)
        )
        seconds.append(time.perf_counter() - started)
        assert abs(float(module.forward(torch.ones(4))[0]) - 0.8412) < 1e-3
    print(torch.__version__, *seconds)


if __name__ == "__main__":
    main()
