"""A capsule: one kernel made self-contained.

Cut out of its file with just the helpers, macros, constants, types and includes that it needs, so
that a torch extension's kernel compiles without torch.
"""

from __future__ import annotations

from hipopt.records import DType, Record


class KernelParameter(Record, frozen=True, kw_only=True):
    """One parameter of a kernel as its source declares it."""

    name: str
    type_text: str
    """The type as written, without the name: `const float* __restrict__`."""
    is_pointer: bool
    is_const: bool
    """Whether what a pointer points to is const; for a scalar, whether it is const itself."""
    dtype: DType | None
    """Of the element (pointer) or value; None where it is a struct, vector or template type."""


class Capsule(Record, frozen=True, kw_only=True):
    """A self-contained kernel."""

    source: str
    """Device code only: includes, macros, types, constants, helpers, then the kernel."""
    kernel: str
    """Qualified name, e.g. `ns::saxpy`."""
    parameters: tuple[KernelParameter, ...]
    template_parameters: tuple[str, ...] = ()
    """As declared, e.g. `typename T`, `int BLOCK`; empty for a plain kernel."""
    kernel_text: str
    """The kernel's own definition, attributes and template header included."""
