"""Coral: evaluate, synthesize and train language models that reason together.

import coral
run = coral.evaluate("hi_tom", data="Hi-ToM_data.json", agent="openai/gpt-4o-mini", limit=100)
print(run.summary.metrics["agreement_correctness"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coral.api import (
        build,
        build_async,
        compare,
        compare_async,
        estimate,
        evaluate,
        evaluate_async,
        improve,
        improve_async,
        load_run,
        sample,
        sample_async,
        score,
        score_async,
        train,
    )

__all__ = [
    "build",
    "build_async",
    "compare",
    "compare_async",
    "estimate",
    "evaluate",
    "evaluate_async",
    "improve",
    "improve_async",
    "load_run",
    "sample",
    "sample_async",
    "score",
    "score_async",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for: `import coral` alone costs nothing."""
    if name == "__version__":
        from coral.version import version

        return version()
    if name in __all__:
        import coral.api

        return getattr(coral.api, name)
    raise AttributeError(f"module 'coral' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
