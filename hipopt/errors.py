"""What can go wrong on our side.

A bad kernel, a bad reply or a bad candidate is a result (see `records.Verdict`), not an exception.
An exception means that hipopt, its input files or its surroundings failed.
"""


class HipoptError(Exception):
    """Our side failed; the message names the thing, the place and the next step.

    The command line prints the message without a traceback and exits with `exit_code`.
    """

    exit_code = 1


class UsageError(HipoptError):
    """The command was called wrongly: a flag, a path or a setting has to change."""

    exit_code = 2


class ManifestError(UsageError):
    """The manifest can't be read as a list of kernels; names the file and the row or line."""


class LogError(HipoptError):
    """The result log can't be read or written; names the file and the line."""


class HeldElsewhere(HipoptError):
    """Another process does what only one may do; names that process."""


class SourceError(HipoptError):
    """A kernel can't be sliced out of its source (none, or several, of that name; not parsable)."""


class WorkloadError(UsageError):
    """A workload is not of the documented form; names the argument and what was expected."""


class DeviceError(HipoptError):
    """The device or its toolchain is missing or sick; no kernel is to blame."""


class ModelUnavailable(HipoptError):
    """The model endpoint is down, hangs or throttles for longer than we wait. Worth retrying."""


class ModelRefused(HipoptError):
    """The model endpoint will never answer as configured (wrong key, unknown model, wrong URL)."""


class BrokerError(HipoptError):
    """The broker can't be reached or refuses us; the URL in the message has its password masked."""
