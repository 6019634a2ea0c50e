"""Errors of getting models, and of removing them."""

from __future__ import annotations

from ziggie_image_mcp.errors import ImageError


class PullFailed(ImageError):
    """Raised when a model cannot be downloaded; nothing half downloaded is taken for a model."""

    code = "PULL_FAILED"


class RepositoryNotFound(PullFailed):
    """Raised when there is no such repository or revision, or it is private."""

    code = "REPOSITORY_NOT_FOUND"


class AccessDenied(PullFailed):
    """Raised when terms were not accepted yet, or the token is refused."""

    code = "MODEL_ACCESS_DENIED"


class NotAPipeline(PullFailed):
    """Raised when a repository holds no diffusers pipeline with safetensors weights."""

    code = "NOT_A_PIPELINE"


class DiskFull(PullFailed):
    """Raised when the disk has no room for the model; the message has both figures."""

    code = "DISK_FULL"


class WrongChecksum(PullFailed):
    """Raised when the content of a file is not what the repository says. The file is removed."""

    code = "WRONG_CHECKSUM"


class RemovalRefused(ImageError):
    """Raised when what is to be removed is not ours to delete; the message names where it lies."""

    code = "REMOVAL_REFUSED"


class ModelInUse(RemovalRefused):
    """Raised when a running worker has the model in memory."""

    code = "MODEL_IN_USE"


class HubClientMissing(PullFailed):
    """Raised when huggingface_hub is not installed."""

    code = "HUB_CLIENT_MISSING"
