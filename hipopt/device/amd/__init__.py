"""AMD GPUs: device code compiled without a host pass, and what the code object says of itself."""
