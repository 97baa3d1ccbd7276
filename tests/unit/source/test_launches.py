"""What a file's host code says about how its kernels are launched."""

from __future__ import annotations

from hipopt.source.folding import fold
from hipopt.source.launches import names_of
from hipopt.source.slice import slice_kernel

KERNEL = "__global__ void scale(float* x, float a, int n) { x[threadIdx.x] *= a + n; }\n"


def launches(host: str, kernel: str = KERNEL) -> tuple:
    return slice_kernel(kernel + host, "scale").launches


def test_a_chevron_launch_folds_through_the_host_code() -> None:
    """Grid, block and LDS of `<<<>>>` fold through macros, constants, dim3 and helpers."""
    (launch,) = launches("""
#define TILE 16
static int div_up(int a, int b) { return (a + b - 1) / b; }
int main() {
  const int n = 1 << 10;
  dim3 block(TILE, TILE);
  float* d;
  hipMalloc(&d, n);
  scale<<<dim3(div_up(n, TILE), 2), block, TILE * sizeof(float), 0>>>(d, 2.5f, n);
}
""")
    names = names_of(launch, {})
    assert fold(launch.grid, names) == (64, 2, 1)
    assert fold(launch.block, names) == (16, 16, 1)
    assert fold(launch.lds_bytes, names) == 64
    assert [fold(a, names) for a in launch.args] == [None, 2.5, 1024]


def test_numbers_given_come_before_the_host_codes_own() -> None:
    """A size chosen for a scalar changes the grid that is computed from it."""
    (launch,) = launches("""
int main() { int n = 1 << 20; scale<<<(n + 255) / 256, 256>>>(nullptr, 1.0f, n); }
""")
    assert fold(launch.grid, names_of(launch, {"n": 1000})) == 4


def test_the_launch_macro_and_template_arguments_are_read() -> None:
    """`hipLaunchKernelGGL(HIP_KERNEL_NAME(k<T, N>), ...)` is a launch with template arguments."""
    kernel = (
        "template <typename T, int B> __global__ void scale(T* x, T a, int n) { x[0] = a + n; }\n"
    )
    (launch,) = launches(
        """
void run(float* d) {
  hipLaunchKernelGGL(HIP_KERNEL_NAME(scale<float, 128>), dim3(4), dim3(128), 0, 0, d, 1.0f, 9);
}
""",
        kernel,
    )
    assert launch.template == ("float", "128")
    assert launch.args == ("d", "1.0f", "9")


def test_a_kernel_that_nothing_launches_has_no_launches() -> None:
    """A mention in a comment or of another kernel is no launch."""
    assert launches("// scale<<<1, 1>>>(0)\nvoid rescale() {}\n") == ()


def test_a_cooperative_launch_takes_its_arguments_by_pointers() -> None:
    """Grid and block stand in their usual place, the arguments in an array of their addresses."""
    (launch,) = launches("""
int main() {
  float* d; float factor = 2.5f; int n = 96;
  void* arguments[] = {&d, (void*)&factor, &n};
  hipLaunchCooperativeKernel((void*)scale, dim3(3), dim3(32), arguments, 128, hipStreamDefault);
}
""")
    names = names_of(launch, {})
    assert (fold(launch.grid, names), fold(launch.block, names)) == ((3, 1, 1), (32, 1, 1))
    assert fold(launch.lds_bytes, names) == 128
    assert [fold(a, names) for a in launch.args] == [None, 2.5, 96]
