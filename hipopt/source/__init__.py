"""HIP source as text: find a kernel, cut it out, put another in its place."""
