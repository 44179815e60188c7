"""The settings: how values are read (reading), which there are (settings), and the file (file)."""

from proxy.config.file import read_file
from proxy.config.reading import SettingsError, capture_bytes, share
from proxy.config.settings import (
    DECLARED,
    ENVIRONMENT_PREFIX,
    MEANINGS,
    About,
    ModelSettings,
    Settings,
    about,
    plain,
)

__all__ = [
    "DECLARED",
    "ENVIRONMENT_PREFIX",
    "MEANINGS",
    "About",
    "ModelSettings",
    "Settings",
    "SettingsError",
    "about",
    "capture_bytes",
    "plain",
    "read_file",
    "share",
]
