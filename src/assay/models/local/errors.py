"""What can go wrong with the embedded model, and how the command ends because of it."""

from assay.core.errors import ProviderUnavailable, UsageError


class ModelFileError(UsageError):
    """A model file is absent, damaged or not a GGUF file. Exit 2."""


class RuntimeMissing(UsageError):
    """The optional llama.cpp runtime isn't installed. Exit 2."""


class PullFailed(ProviderUnavailable):
    """No mirror could supply the pinned bytes. Exit 4."""


class ServerFailed(ProviderUnavailable):
    """The model server did not start, or died. Exit 4."""
