"""A build backend that builds nothing. `pip download` wants metadata from the backend of a source archive; this one,
put in the place of the real ones by name, says what pip knows already, so that no code of the archive is run.

The interface is that of PEP 517. This file is copied under the names of real backends, with `ARCHIVE` filled in; it
imports nothing of ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

ARCHIVE = "NAME==VERSION"


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    del config_settings
    name, version = ARCHIVE.split("==")
    folder = Path(metadata_directory, f"{name.replace('-', '_')}-{version}.dist-info")
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    return folder.name


def get_requires_for_build_wheel(config_settings: object = None) -> list[str]:
    del config_settings
    return []


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None) -> str:
    """PEP 517 wants it to be there."""
    del config_settings, metadata_directory
    raise SystemExit(f"nothing is built here, so nothing comes to {wheel_directory}")


__legacy__ = sys.modules[__name__]
"""The name under which setuptools serves archives without a `pyproject.toml`."""
