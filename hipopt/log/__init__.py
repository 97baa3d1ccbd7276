"""The result log, which alone says what is done: writing, reading, checking and mending it."""
