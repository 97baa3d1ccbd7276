"""Whether a launch fits what a code object was compiled for.

A runtime answers with an error that names no figure, or not at all.
"""

from __future__ import annotations

from hipopt.device.amd.codeobject import KernelCode
from hipopt.device.amd.limits import limits_of


def refusal(code: KernelCode, arch: str, threads: int, lds_bytes: int) -> str | None:
    """Why blocks of `threads` with so much dynamic LDS can't be; None where they can."""
    most_threads = code.max_threads
    if threads > most_threads:
        return (
            f"blocks of {threads} threads, but the kernel was compiled for at most {most_threads} "
            "(__launch_bounds__)"
        )
    static, most = code.lds_bytes, limits_of(arch).lds_block_bytes
    if static + lds_bytes > most:
        return (
            f"{static} bytes of static and {lds_bytes} of dynamic LDS, but a block on {arch} "
            f"has at most {most}"
        )
    return None
