"""Every error that Rojak raises on purpose.

    RojakError                 one sentence: what, where, what is allowed, what to do
    ├── InputError             a path, file or argument of the user's is not usable
    │   ├── AudioError         a recording cannot be decoded
    │   └── ManifestError      a transcript file is malformed or lacks a field
    ├── ConfigError            a setting is unknown, of the wrong type or out of range
    ├── DataQualityError       too many recordings were refused
    ├── CheckpointError        a checkpoint is missing, broken or belongs to another run
    ├── TrainingError          training cannot go on (NaN, no data, diverged)
    ├── ExportError            an exported model does not say the same as the original
    └── MissingExtraError      an optional package is not installed

`cli.main` prints the sentence and exits with 1; anything else that reaches it is a bug and shows its traceback.
"""


class RojakError(Exception):
    """Base of all errors that are told to the user as one sentence."""


class InputError(RojakError):
    """A path, file or argument that the user gave cannot be used."""


class AudioError(InputError):
    """A recording cannot be decoded."""


class ManifestError(InputError):
    """A transcript file is malformed or lacks a required field."""


class ConfigError(RojakError):
    """A setting is unknown, of the wrong type or out of range."""


class DataQualityError(RojakError):
    """More recordings were refused than the user allows."""


class CheckpointError(RojakError):
    """A checkpoint is missing, broken or belongs to another run."""


class TrainingError(RojakError):
    """Training cannot go on."""


class ExportError(RojakError):
    """An exported model does not say the same as the one it was made from."""


class MissingExtraError(RojakError):
    """An optional package is needed and not installed."""
