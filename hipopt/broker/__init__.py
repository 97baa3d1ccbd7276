"""The broker: how Redis is reached, and what lies there, goes there and is held there."""
