"""Templates that run no code: the one place where a Jinja2 environment is built.

Prompt libraries, config files, run folders and checkpoints come from others. In a plain environment a
template reaches Python's modules, and with them a shell.
"""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE_ERRORS: tuple[type[Exception], ...] = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What a template raises that is broken, does what is forbidden, or has a mistake that a text meets."""


def sandboxed(**options: Any) -> ImmutableSandboxedEnvironment:
    """An environment whose templates reach nothing but what they are given, and change none of it.

    Args:
        options: those of `jinja2.Environment`.
    """
    return ImmutableSandboxedEnvironment(autoescape=False, **options)  # prompts are not HTML
