"""The app that `celery -A tasks.app worker` and Flower load; settings come from the environment."""

from hipopt.broker.app import make_app
from hipopt.errors import HipoptError
from hipopt.settings import load
from tasks import away, control, optimize, panel, signals, steps, stop

try:
    settings = load()
    app = make_app(settings)
except HipoptError as error:
    raise SystemExit(f"hipopt: {error}") from None
optimize.register(app, settings)
steps.install(app, settings)
signals.connect(app, settings)
control.keep_few()
panel.install(settings)
away.install(app, settings)
stop.install(app)
