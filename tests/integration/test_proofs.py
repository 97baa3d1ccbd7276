"""The parts of the proofs that need a compiler, with a real one."""

from __future__ import annotations

import pytest

from benchmarks.kernels import BUNDLED, Kernel, KernelChoice, load
from benchmarks.mutation import mutants
from benchmarks.objectcode import same_code
from benchmarks.reformat import STYLES, Style, rewritten
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import CodeObject
from hipopt.source.capsule import Capsule
from hipopt.source.splice import SpliceFailure, splice

BY_NAME = {
    kernel.capsule.kernel: kernel
    for kernel in load(KernelChoice(manifests=(BUNDLED,)))
    if isinstance(kernel, Kernel)
}


def compiled(device: CpuDevice, reference: Capsule, code: str) -> CodeObject:
    candidate = splice(reference, code)
    assert not isinstance(candidate, SpliceFailure), candidate.reason
    code_object = device.compile(candidate, (), timeout_s=60.0)
    assert isinstance(code_object, CodeObject), code_object.output
    return code_object


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["gauss_blur", "half_poly", "kernel_density"])
def test_a_rewritten_kernel_is_the_same_code(
    name: str, style: Style, cpu_device: CpuDevice
) -> None:
    """Other spaces and names compile to the original's code to the byte.

    A barrier would bring its line number into the code.
    """
    capsule = BY_NAME[name].capsule
    original = compiled(cpu_device, capsule, capsule.kernel_text)
    assert same_code(original, compiled(cpu_device, capsule, rewritten(capsule, style, 1)))


def test_a_mutant_is_other_code(cpu_device: CpuDevice) -> None:
    """A mutant that computes something else compiles to something else."""
    capsule = BY_NAME["relu_kernel"].capsule
    original = compiled(cpu_device, capsule, capsule.kernel_text)
    (further, *_) = (m for m in mutants(capsule.kernel_text) if m.replacement == " + 1")
    other = compiled(cpu_device, capsule, further.applied(capsule.kernel_text))
    assert not same_code(original, other)
