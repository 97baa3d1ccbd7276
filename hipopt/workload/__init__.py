"""Workloads: how a kernel is launched, and with what data."""
