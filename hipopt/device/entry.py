"""How the generated end of a translation unit names the kernel to the compiler."""

from __future__ import annotations

import re

from hipopt.source.capsule import Capsule


def kernel_address(capsule: Capsule, template: tuple[str, ...]) -> str:
    """A C++ expression for the address of the capsule's kernel with those template arguments."""
    arguments = f"<{', '.join(template)}>" if template else ""
    kernel = f"::{capsule.kernel.removeprefix('::')}{arguments}"
    if template or not _is_overloaded(capsule):
        return f"&{kernel}"
    types = ", ".join(p.type_text for p in capsule.parameters)
    return f"static_cast<void (*)({types})>(&{kernel})"


def _is_overloaded(capsule: Capsule) -> bool:
    """Whether the source seems to define several functions of the kernel's name."""
    name = re.escape(capsule.kernel.rpartition("::")[2])
    found = re.findall(rf"[\w>&*]\s+{name}\s*\([^;{{}}]*\)\s*\{{", capsule.source)
    return len(found) > 1
