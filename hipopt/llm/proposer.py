"""The source of candidates that the settings name."""

from __future__ import annotations

from hipopt.errors import UsageError
from hipopt.llm.interface import Proposer
from hipopt.llm.replay import CandidateFile, Replay
from hipopt.settings import Settings

_SOURCES = ("model", "replay", "candidates")


def make_proposer(settings: Settings) -> Proposer:
    """The model, the recorded replies or the candidates that were asked for.

    Raises:
        UsageError: none or several were asked for, or the file is not of its form.
    """
    given = [name for name in _SOURCES if getattr(settings, name)]
    if not given:
        raise UsageError(
            "nothing proposes candidates: pass --model (with --base-url for a server of your own), "
            "--replay FILE or --candidates FILE"
        )
    if len(given) > 1:
        both = " and ".join(given)
        raise UsageError(f"{both} are set (option, HIPOPT_... variable or hipopt.toml); unset one")
    if settings.replay:
        return Replay(settings.replay.expanduser())
    if settings.candidates:
        return CandidateFile(settings.candidates.expanduser())
    from hipopt.llm.client import ModelClient  # half of a command's start, and not always needed

    return ModelClient(settings)
