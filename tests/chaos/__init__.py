"""A run in which everything is killed at random, again and again, and what must hold after it."""
