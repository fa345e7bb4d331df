"""Coral: evaluate, synthesize and train language models that reason together.

import coral
run = coral.evaluate("hi_tom", data="Hi-ToM_data.json", agent="openai/gpt-4o-mini", limit=100)
print(run.summary.metrics["agreement_correctness"])

What a user meets is here: functions, records, errors, and what tasks and models are. See docs/python.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coral.api import (
        build,
        build_async,
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
    )
    from coral.api_train import train
    from coral.audits.stored import compare, compare_async
    from coral.comparison.compare import PairedRuns, SeveralRuns
    from coral.comparison.pictures import plot
    from coral.errors import (
        AgentFailed,
        ConfigError,
        CoralError,
        DataError,
        Interrupted,
        MissingExtra,
        ModelError,
        Notice,
        RunFolderError,
        StoppedEarly,
        UserError,
    )
    from coral.evaluation.config import AgentConfig
    from coral.evaluation.estimate import CostEstimate
    from coral.evaluation.frames import frame
    from coral.evaluation.progress import Progress
    from coral.evaluation.run import Run, StoredRun
    from coral.improvement.results import Results
    from coral.metrics import Comparison, Estimate, Summary, Trace, TraceTurn
    from coral.models.protocol import Candidate, Generation, Model, Request, Sampling
    from coral.rl.train import GrpoResult
    from coral.rows.report import Report
    from coral.store.folder import RunFolder
    from coral.studies.results import StudyResults
    from coral.studies.study import study, study_async
    from coral.tasks.own.function import task
    from coral.tasks.protocol import Source, Task, TaskInfo
    from coral.training.train import TrainResult
    from coral.types import (
        Answered,
        Belief,
        Conversation,
        Failure,
        FinishReason,
        Message,
        Problem,
        Reply,
        Speaker,
        StopReason,
        Turn,
        Unreadable,
        Unsure,
        Usage,
    )

_HOMES = {
    "coral.api": (
        "build",
        "build_async",
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
    ),
    "coral.api_train": ("train",),
    "coral.errors": (
        "AgentFailed",
        "ConfigError",
        "CoralError",
        "DataError",
        "Interrupted",
        "MissingExtra",
        "ModelError",
        "Notice",
        "RunFolderError",
        "StoppedEarly",
        "UserError",
    ),
    "coral.evaluation.config": ("AgentConfig",),
    "coral.evaluation.estimate": ("CostEstimate",),
    "coral.evaluation.frames": ("frame",),
    "coral.evaluation.progress": ("Progress",),
    "coral.evaluation.run": ("Run", "StoredRun"),
    "coral.improvement.results": ("Results",),
    "coral.metrics": ("Comparison", "Estimate", "Summary", "Trace", "TraceTurn"),
    "coral.models.protocol": ("Candidate", "Generation", "Model", "Request", "Sampling"),
    "coral.rl.train": ("GrpoResult",),
    "coral.rows.report": ("Report",),
    "coral.store.folder": ("RunFolder",),
    "coral.comparison.compare": ("PairedRuns", "SeveralRuns"),
    "coral.comparison.pictures": ("plot",),
    "coral.studies.results": ("StudyResults",),
    "coral.audits.stored": ("compare", "compare_async"),
    "coral.studies.study": ("study", "study_async"),
    "coral.tasks.own.function": ("task",),
    "coral.tasks.protocol": ("Source", "Task", "TaskInfo"),
    "coral.training.train": ("TrainResult",),
    "coral.types": (
        "Answered",
        "Belief",
        "Conversation",
        "Failure",
        "FinishReason",
        "Message",
        "Problem",
        "Reply",
        "Speaker",
        "StopReason",
        "Turn",
        "Unreadable",
        "Unsure",
        "Usage",
    ),
}  # fmt: skip
"""Where each name comes from; a test compares it with the imports above."""

__all__ = [
    "AgentConfig",
    "AgentFailed",
    "Answered",
    "Belief",
    "Candidate",
    "Comparison",
    "ConfigError",
    "Conversation",
    "CoralError",
    "CostEstimate",
    "DataError",
    "Estimate",
    "Failure",
    "FinishReason",
    "Generation",
    "GrpoResult",
    "Interrupted",
    "Message",
    "MissingExtra",
    "Model",
    "ModelError",
    "Notice",
    "PairedRuns",
    "Problem",
    "Progress",
    "Reply",
    "Report",
    "Request",
    "Results",
    "Run",
    "RunFolder",
    "RunFolderError",
    "Sampling",
    "SeveralRuns",
    "Source",
    "Speaker",
    "StopReason",
    "StoppedEarly",
    "StoredRun",
    "StudyResults",
    "Summary",
    "Task",
    "TaskInfo",
    "Trace",
    "TraceTurn",
    "TrainResult",
    "Turn",
    "Unreadable",
    "Unsure",
    "Usage",
    "UserError",
    "build",
    "build_async",
    "compare",
    "compare_async",
    "estimate",
    "evaluate",
    "evaluate_async",
    "frame",
    "improve",
    "improve_async",
    "load_run",
    "plot",
    "sample",
    "sample_async",
    "score",
    "score_async",
    "study",
    "study_async",
    "task",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for: `import coral` alone costs nothing."""
    if name == "__version__":
        from coral.version import version

        return version()
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'coral' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
