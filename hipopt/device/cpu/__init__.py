"""The CPU device: an emulator that runs real HIP kernels on a machine with no GPU."""
