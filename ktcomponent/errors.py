"""Every exception of the package, in one tree.

`exit_code` is what a command line ends with when the exception reaches it: 2 where a retry can't help,
75 where the infrastructure failed and a retry can.
"""

from __future__ import annotations


class KtcomponentError(Exception):
    """Base of all exceptions that ktcomponent raises by itself."""

    exit_code = 1


class FailedTrialError(KtcomponentError):
    """Raise it inside a trial to mark that trial as FAILED without a retry."""


class FatalError(KtcomponentError):
    """Raise it inside a trial to end the search: the trial is given back, not failed."""

    exit_code = 2


class FatalValueError(FatalError, ValueError):
    """A fatal error that is also a `ValueError`."""


class FatalTypeError(FatalError, TypeError):
    """A fatal error that is also a `TypeError`."""


class FatalRuntimeError(FatalError, RuntimeError):
    """A fatal error that is also a `RuntimeError`."""


class TooManyFailedTrials(FatalRuntimeError):
    """`max_consecutive_failed_trials` trials in a row failed; the search is stopped."""


class ConfigurationError(KtcomponentError, ValueError):
    """What the user gave can't work, and trying again won't help."""

    exit_code = 2


class StudyMismatch(ConfigurationError):
    """The study on storage belongs to another oracle, objective or search space."""


class StudyNotFound(ConfigurationError):
    """There is no study at the URL."""


class TooFewTrials(ConfigurationError):
    """Fewer trials completed than an export must have."""


class UnsupportedFormat(ConfigurationError):
    """The study was written by software that is newer than this one."""


class StudyError(KtcomponentError):
    """The study on storage can't be read as it is."""

    exit_code = 2


class CorruptEntry(StudyError):
    """A stored object is not what its writer wrote, or breaks the log's rules."""


class MissingEntry(StudyError):
    """A commit is gone although a later one is there."""


class MissingDevices(KtcomponentError):
    """Fewer GPUs are there than were asked for: a sick node, where another may do."""

    exit_code = 75


class StorageError(KtcomponentError):
    """The storage did not do what was asked of it; a later try may succeed."""

    exit_code = 75


class Refused(KtcomponentError):
    """The log's rules don't allow this commit any more: somebody else went on in the meantime."""

    exit_code = 75


class Fenced(Refused):
    """A newer incarnation, a new generation or a newer attempt took over; this worker must end."""


class AttemptLost(Fenced):
    """Others took a trial from a worker that had shown no sign of life; the worker goes on with another one."""
