"""Devices: where kernels are compiled and run, in disposable child processes."""
