"""Which options may change between sessions of a loop, and what its folder never holds."""

import pytest

from coral.improvement.config import ImproveConfig
from coral.improvement.identity import identify, stored
from coral.improvement.servers import Checkpoint
from coral.options import build_config, merged

START = Checkpoint("start", "org/model")
OPTIONS = {
    "common": {"task": {"name": "sally_anne"}, "agent": {"max_tokens": 8}, "data_password": "hush"},
    "train": {"learning_rate": 1e-4},
    "dpo": {"train": {"beta": 0.1}},
    "iterations": 2,
}


def identity(**changes):
    return identify(build_config(ImproveConfig, merged(OPTIONS, changes), "improve"), START)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iterations": 3}, "going on"),
        ({"controls": ("alone-dpo",)}, "one arm more"),
        ({"output": "elsewhere"}, "the folder was moved"),
        ({"launch": ("accelerate", "launch")}, "other devices"),
        ({"common": {"max_connections": 4}}, "a weaker server"),
        ({"common": {"agent": {"request_timeout_s": 5.0}}}, "a slow server"),
        ({"evaluate": {"max_failed_rate": 0.5}}, "known failures"),
        ({"second": {"prices": "prices.yaml"}}, "only money"),
        ({"train": {"device_batch_size": 1}}, "the device was full"),
        ({"dpo": {"train": {"save_steps": 5}}}, "where it can resume"),
        ({"common": {"data_password": "other"}}, "never stored"),
    ],
)
def test_what_decides_no_result_may_change(changes, why):
    """What the command of a step lets change between its sessions, the loop lets change, too."""
    assert identity(**changes) == identity(), why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"seed": 1}, "every step"),
        ({"common": {"agent": {"temperature": 1.0}}}, "other conversations"),
        ({"common": {"extractor": {"mode": "model"}}}, "other beliefs"),
        ({"evaluate": {"limit": 5}}, "other problems"),
        ({"sample": {"candidates": 3}}, "other trees"),
        ({"rehearsal": {"task": {"size": 3}}}, "further trees"),
        ({"build": {"max_rows": 5}}, "other rows"),
        ({"train": {"learning_rate": 1e-5}}, "other weights"),
        ({"dpo": {"train": {"beta": 0.2}}}, "other weights of one arm"),
        ({"iterations": 3, "split": "even"}, "the problems are dealt anew"),
        ({"gate": {"target": "not_worse"}}, "another model continues"),
        ({"serve": {"kind": "endpoint", "base_url": "http://x/v1"}}, "another engine"),
    ],
)
def test_what_decides_the_results_may_not(changes, why):
    """Else half of a report would be about other options than the other half."""
    assert identity(**changes) != identity(**{k: v for k, v in changes.items() if k == "split"}), why


def test_a_section_that_older_versions_did_not_know_is_left_out_while_it_is_empty():
    """So a loop that was begun before goes on."""
    assert "rehearsal" not in identity()


def test_a_password_is_in_no_file():
    """The folder's records hold everything but secrets."""
    config = ImproveConfig(**OPTIONS)
    assert "hush" not in str(stored(config)) + str(identify(config, START))
