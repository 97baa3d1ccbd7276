"""A child's whole environment: the pin, and what a runtime needs to be found."""

from __future__ import annotations

import os

_KEPT = ("LD_LIBRARY_PATH", "ROCM_PATH", "HIP_PATH", "HSA_OVERRIDE_GFX_VERSION")

_FIXED = {
    "HSA_XNACK": "0",  # a GPU that pages memory in could reach the child's own
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # so that an index means the same GPU everywhere
    "CUDA_MODULE_LOADING": "EAGER",  # nothing of a kernel is loaded within its launch
    "CUDA_CACHE_DISABLE": "1",
}


def child_environ(pin: dict[str, str]) -> dict[str, str]:
    """Nothing else is inherited, so that no other variable hides or renumbers GPUs."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | _FIXED | pin
