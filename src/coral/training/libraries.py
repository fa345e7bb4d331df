"""The training libraries: asked for by name when they are missing, and kept quiet where they only chat."""

from __future__ import annotations

import importlib.util
import os
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata

from coral.errors import MissingExtra

_REPORTERS_OF_EXTRA = ("tensorboard",)
"""What the extra `train` brings; who reports elsewhere installs that service's own package."""
PACKAGES = ("torch", "transformers", "trl", "accelerate", "datasets", "peft")


def require_libraries(reporters: tuple[str, ...]) -> None:
    """Make sure that everything is installed before anything is loaded.

    Raises:
        MissingExtra: names the package and the extra.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, extra="train", why="training")
    for package in reporters:
        if importlib.util.find_spec(package) is None:
            extra = "train" if package in _REPORTERS_OF_EXTRA else None
            raise MissingExtra(package, extra=extra, why=f"--report_to {package}")


def library_versions() -> dict[str, str]:
    """Versions that decide what a training computes."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"coral": metadata.version("collaborative-reasoner"), "python": platform.python_version(), **found}


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Load and run the training libraries without progress bars, usage reports and advice about their inside.

    TRL reports each training to its authors unless told not to: a run of Coral talks to nobody unasked.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        for message, category in _FROM_INSIDE:
            warnings.filterwarnings("ignore", message=message, category=category)
        import datasets
        from transformers.utils import logging

        _switch_off(
            stack,
            datasets.are_progress_bars_disabled(),
            datasets.disable_progress_bars,
            datasets.enable_progress_bars,
        )
        _switch_off(
            stack,
            not logging.is_progress_bar_enabled(),
            logging.disable_progress_bar,
            logging.enable_progress_bar,
        )
        stack.callback(logging.set_verbosity, logging.get_verbosity())
        logging.set_verbosity_error()
        yield


_FROM_INSIDE: tuple[tuple[str, type[Warning]], ...] = (
    # TRL and transformers still call each other by names that transformers 5 renames
    (r"`(is_)?gradient_checkpointing\w*` is deprecated", FutureWarning),
)


def _switch_off(
    stack: ExitStack, is_off: bool, off: Callable[[], None], on_again: Callable[[], None]
) -> None:
    if not is_off:
        off()
        stack.callback(on_again)


def process_rank() -> tuple[int, int]:
    """This process's number and the number of all, as `accelerate launch` and `torchrun` tell them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
