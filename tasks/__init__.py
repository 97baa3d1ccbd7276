"""What Celery workers run. `hipopt` never imports this package: it sends tasks by name."""
