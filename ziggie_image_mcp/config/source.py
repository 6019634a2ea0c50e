"""Notice that config.json was edited while the program runs."""

from __future__ import annotations

from pathlib import Path

from ziggie_image_mcp.config import loader
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.provider.files import read_regular


class ConfigSource:
    """One config file, read again whenever it is another.

    Args:
        path: Instead of the default one.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._read: bytes | None = None
        self._was_there = False
        self.trouble = ""
        """What is wrong with the file now; empty while it is in force as it is."""

    def load(self) -> Config:
        """The settings for the first time.

        Raises:
            ConfigError: The file cannot be read, or makes no sense.
        """
        self._read = self._bytes()
        self._was_there = self._read is not None
        return loader.load(self._path)

    def changed(self) -> Config | None:
        """The settings where they are others than before; None where not, or where they are wrong.

        Then `trouble` says so, until the file is right again.
        """
        found = self._bytes()
        if found == self._read:
            return None
        self._read = found
        if found is None and self._was_there:
            self.refuse(ConfigError(f"{loader.find(self._path)}: there is no such file any more."))
            return None
        self._was_there = True
        try:
            config = loader.load(self._path)
        except ConfigError as e:
            self.refuse(e)
            return None
        self.trouble = ""
        return config

    def refuse(self, error: ConfigError) -> None:
        """The file cannot be used as it is now: what was in force before stays so."""
        self.trouble = f"{error} Until that is put right the settings before it stay in force."

    def _bytes(self) -> bytes | None:
        try:
            return read_regular(loader.find(self._path), loader.MAX_BYTES)
        except OSError:
            return None
