"""Optimise HIP kernels with a language model, and judge every candidate truthfully."""

__version__ = "0.1.0"
