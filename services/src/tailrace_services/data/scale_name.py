"""The names of the scales that every service has."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ScaleName"]


class ScaleName(StrEnum):
    """The scales there are; how much each is, ``generate --help`` of the service says."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
