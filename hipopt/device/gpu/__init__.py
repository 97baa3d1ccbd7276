"""The GPU runner: one trusted child process, on the HIP runtime or on the CUDA driver."""
