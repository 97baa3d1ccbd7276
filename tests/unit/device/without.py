"""A machine without some layers of the sandbox, made with a system call filter of its own.

Run as a program: without.py LAYERS SCRIPT ARGS... runs the Python script where the system refuses
the layers named (namespaces, landlock, seccomp), as containers and older kernels do.
"""

from __future__ import annotations

import ctypes
import platform
import runpy
import struct
import sys

_CALLS = {
    "x86_64": {"namespaces": 272, "landlock": 444, "seccomp": 317, "prctl": 157},
    "aarch64": {"namespaces": 97, "landlock": 444, "seccomp": 277, "prctl": 167},
}
_DENY, _ALLOW = 0x0005_0001, 0x7FFF_0000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _ARGUMENT = 0, 16
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2


def forbid(layers: list[str]) -> None:
    """From here on this process and its children are refused the layers."""
    numbers = _CALLS[platform.machine()]
    code = [(_LOAD, 0, 0, _NUMBER)]
    for layer in layers:
        code += [(_EQUAL, 0, 1, numbers[layer]), (_RETURN, 0, 0, _DENY)]
    if "seccomp" in layers:
        code += [(_EQUAL, 0, 3, numbers["prctl"]), (_LOAD, 0, 0, _ARGUMENT)]
        code += [(_EQUAL, 0, 1, _SET_SECCOMP), (_RETURN, 0, 0, _DENY)]
    code += [(_RETURN, 0, 0, _ALLOW)]
    raw = b"".join(struct.pack("HBBI", *one) for one in code)
    buffer = ctypes.create_string_buffer(raw, len(raw))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_SET_SECCOMP, _FILTER, ctypes.c_char_p(program), 0, 0) == 0


if __name__ == "__main__":
    forbid([layer for layer in sys.argv[1].split(",") if layer])
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
