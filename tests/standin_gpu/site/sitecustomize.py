"""A Python with this folder on its path makes code objects that the stand-in can run."""

import hipopt.devices
from tests.standin_gpu.compiler import StandInCompiler

hipopt.devices.AmdCompiler = StandInCompiler  # type: ignore[misc]
