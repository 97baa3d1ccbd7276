"""The same kernels on an NVIDIA GPU: a compiler for `hipopt.device.gpu`, by nvcc."""
