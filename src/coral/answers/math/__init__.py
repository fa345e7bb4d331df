r"""Read, clean and compare mathematical answers.

`read` finds the answer that a message submits, `parse` takes a bare one; both give a `Belief` whose value is
LaTeX or text without delimiters. `same_text` compares two values in microseconds. `equivalent` also does
algebra and may never return: call it as `workers.call("coral.answers.math:equivalent", a, b, timeout_s=...)`.
"""

from __future__ import annotations

from coral.answers.math.algebra import warm_up
from coral.answers.math.reading import last_boxed, parse, read
from coral.answers.math.values import canonical, equivalent, plain_key, same_text

__all__ = ["canonical", "equivalent", "last_boxed", "parse", "plain_key", "read", "same_text", "warm_up"]
