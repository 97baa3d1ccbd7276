"""The judge says whether a candidate is correct, and whether it is faster."""
