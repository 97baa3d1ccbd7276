"""AMD's compiler and the runner together: real code objects, on the stand-in runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu.device import GpuDevice
from hipopt.device.interface import CompileFailure, Fault
from hipopt.records import Scalar, Verdict
from hipopt.source.slice import slice_kernel
from tests.standin_gpu.compiler import StandInCompiler
from tests.standin_gpu.standin import StandIn

ODD = """#include <hip/hip_runtime.h>
__global__ __launch_bounds__(256) void k(char c, const float* x, double d, float* y, short n) {
    __shared__ float tile[256];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = i < n ? x[i] : 0.0f;
    __syncthreads();
    if (i < n) y[i] = tile[threadIdx.x] * (float)d + c;
}
"""


@pytest.fixture
def device(
    standin_library: Path, tmp_path: Path, cpu_device: CpuDevice, amd_cache: Path
) -> GpuDevice:
    """One stand-in gfx90a with AMD's compiler."""
    gpu = StandIn(standin_library, tmp_path, cpu_device, [("gfx90a", "0000:c1:00.0")]).gpu
    return GpuDevice([gpu], StandInCompiler(amd_cache, "gfx90a"), tmp_path / "slots")


def test_a_code_object_runs(device: GpuDevice) -> None:
    """Arguments lie where the code object's metadata say; launches that can't be are refused."""
    code = device.compile(slice_kernel(ODD, "k"), (), 60.0)
    assert not isinstance(code, CompileFailure)
    x = np.arange(300, dtype=np.float32)
    args = [
        Scalar(name="c", scalar="int8", value=3), x, Scalar(name="d", scalar="float64", value=0.5),
        np.zeros(300, np.float32), Scalar(name="n", scalar="int16", value=300),
    ]  # fmt: skip
    with device.exclusive(), device.open(code) as session:
        for block, lds_bytes in ((512, 0), (256, 65 << 10)):
            refused = session.load((1, 1, 1), (block, 1, 1), lds_bytes, args)
            assert isinstance(refused, Fault)
            assert refused.verdict is Verdict.REJECTED
        assert session.load((2, 1, 1), (256, 1, 1), 0, args) is None
        assert not isinstance(session.launch(30.0), Fault)
        left = session.read()
    assert not isinstance(left, Fault)
    assert np.array_equal(left[1], x * 0.5 + 3)
    assert (code.resources.lds_bytes, code.resources.wave_size) == (1024, 64)
    assert device.describe().toolchain.startswith(("Debian clang", "clang", "AMD clang"))
