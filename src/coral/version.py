"""The version of Coral, as its package says."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """Such as `0.2.0`. Looked up when asked for: it costs some milliseconds."""
    from importlib import metadata

    return metadata.version("collaborative-reasoner")
