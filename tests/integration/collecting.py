"""A collector as `hipopt collect` runs it."""

import logging

from hipopt.collect import Collector
from hipopt.log.writer import ResultLog
from hipopt.settings import load
from hipopt.stopping import stop_on_signals

logging.basicConfig(level=logging.INFO)
settings = load()
assert settings.log is not None
with ResultLog(settings.log) as log, stop_on_signals() as stop:
    Collector(settings, log).run(stop)
