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


class Launch(Record, frozen=True, kw_only=True):
    """One place in a file's host code that launches the kernel; expressions as written there."""

    grid: str
    block: str
    lds_bytes: str
    template: tuple[str, ...]
    """Empty: left to deduction, or the kernel is no template."""
    args: tuple[str, ...]
    definitions: tuple[tuple[str, str], ...] = ()
    """What the names in those expressions are first given, as far as the file shows."""
    functions: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    """Functions in those expressions that are one `return`: name, parameters, what it returns."""


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
    launches: tuple[Launch, ...] = ()
    """How the kernel's own file launches it."""
