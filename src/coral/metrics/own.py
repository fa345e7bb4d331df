"""Metrics that users write: functions of a trace, with the same intervals as ours.

def corrected(trace):
    return trace.turns[0].correct is False and trace.turns[-1].correct is True

The function returns a truth (a share of conversations), a number (its mean), a part and a whole (the ratio of
their sums), or None where it says nothing. It may raise: then the number of that conversation is unknown.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import isfinite
from typing import Any

from coral.errors import ConfigError
from coral.metrics.info import MetricInfo
from coral.metrics.trace import Trace
from coral.plugins import FOREIGN, PlugIns, count_failure, imported
from coral.types import Conversation

Value = bool | float | tuple[float, float] | None
MetricFunction = Callable[[Trace], Value] | Callable[[Trace, Conversation], Value]
"""From a trace, and the conversation if there is a second parameter, to the metric's value."""

OWN = "own/"
"""Begins the names of the columns of such metrics."""
_PLUG_INS = PlugIns("metric", group="coral.metrics", built_in={})
_LARGEST = 1e38
"""Columns are kept in single precision."""
_UNKNOWN = (float("nan"), float("nan"))


class OwnMetric:
    """One metric of one run. It remembers whether all of its values were truths.

    Args:
        name: that it has in summaries.
        function: see the module.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self._function = function
        self._wants_conversation = _positional(function) > 1
        self._numbers = False
        info = own_info(name, is_share=True)
        self.columns = info.numerator, info.denominator
        """Where a tally keeps its parts and wholes."""

    @property
    def info(self) -> MetricInfo:
        """What the metric is, as far as its values told: a share, or a number of any kind."""
        return own_info(self.name, is_share=not self._numbers)

    def counts(self, conversation: Conversation, trace: Trace) -> dict[str, float]:
        """The columns of one conversation: NaN where the function raises or does not say."""
        arguments = (trace, conversation) if self._wants_conversation else (trace,)
        try:
            part, whole = self._parts(self._function(*arguments))
        except FOREIGN as error:
            count_failure(f"the metric {self.name}", error, f"conversation {conversation.id}")
            part, whole = _UNKNOWN
        return dict(zip(self.columns, (part, whole), strict=True))

    def _parts(self, value: Any) -> tuple[float, float]:
        if value is None:
            return _UNKNOWN
        if type(value).__name__ in {"bool", "bool_"}:
            return float(value), 1.0
        self._numbers = True
        part, whole = map(float, value) if isinstance(value, tuple) else (float(value), 1.0)
        if whole < 0:
            raise ValueError(f"the whole is {whole:g}, below 0")
        return (part, whole) if max(abs(part), whole) < _LARGEST and isfinite(part) else _UNKNOWN


def own_info(name: str, *, is_share: bool) -> MetricInfo:
    """A metric of the user: a share of conversations, or a number of any kind."""
    return MetricInfo(
        name=name,
        title=name.rpartition(":")[2].replace("_", " "),
        kind="ratio",
        unit="share" if is_share else "score",
        interval="proportion" if is_share else "number",
        numerator=f"{OWN}{name}",
        denominator=f"{OWN}{name}/of",
        seats="any",
        help="A metric of the user.",
    )


def own_metric(name: str, function: object = None) -> OwnMetric:
    """The metric of a name: `module:function`, or one that a package adds by the entry point `coral.metrics`.

    Args:
        function: where it is at hand.

    Raises:
        ConfigError: it cannot be found, or is no function of a trace.
        BrokenPlugIn: the package that adds it cannot be used.
    """
    if function is None:
        otherwise = "hand the function itself to coral.evaluate or coral.score, as metrics=[...]"
        function = imported(name, kind="metric", otherwise=otherwise) if ":" in name else _PLUG_INS.load(name)
    if not callable(function) or isinstance(function, type) or not 1 <= _positional(function) <= 2:
        raise ConfigError(
            f"the metric {name} is not a function of a trace",
            remedy="give a function that takes a trace, and the conversation if it has a second parameter",
        )
    return OwnMetric(name, function)


def name_of(function: Any) -> str:
    """The name of a metric that is handed in: its module and its own."""
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__}:{kind.__qualname__}"


def _positional(function: Callable[..., Any]) -> int:
    """How many arguments a function wants by position."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    wanted = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in wanted and one.default is one.empty for one in parameters)
