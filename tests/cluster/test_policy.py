"""How many replicas Ray Serve is told to keep, without Ray."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from coral.cluster.keeper import Policy, read_wanted, write_wanted

LIMITS = {"min": 1, "max": 6, "in_flight": 10}
CASES = {
    "a number": ({"count": 3, "max": None}, [90], None, 3),
    "none at all": ({"count": 0, "max": None}, [], None, 0),
    "calm": (LIMITS, [0, 0], None, 1),
    "a queue": (LIMITS, [35], None, 4),
    "more than there may be": (LIMITS, [500], None, 6),
    "calm now, and not of late": (LIMITS, [0, 0, 0], [9, 9, 0], 2),
    "one of them does not tell of late": (LIMITS, [0, 0], [0], 2),
    "nothing is told": (LIMITS, None, None, 2),
    "other limits": ({**LIMITS, "max": 1}, [500], None, 1),
}


def context(now, most, count):
    """What Ray Serve tells a policy: figures by replica."""
    figures = {"in_flight": now, "most_in_flight": now if most is None else most}
    metrics = {name: dict(enumerate(values)) for name, values in figures.items()} if now is not None else None
    return SimpleNamespace(aggregated_metrics=metrics, current_num_replicas=count, target_num_replicas=count)


@pytest.mark.parametrize("name", CASES)
def test_the_policy_follows_the_folder_and_the_requests(tmp_path, name):
    """As elsewhere: it grows at once, and does not shrink on missing news."""
    wanted, now, most, number = CASES[name]
    write_wanted(tmp_path, **wanted)
    assert Policy(str(tmp_path))(context(now, most, 2 if now is None else len(now))) == (number, {})


@pytest.mark.parametrize("text", [None, "", "{", "[1"])
def test_a_folder_that_cannot_be_read_is_no_news(tmp_path, text):
    """A shared disk that does not answer changes no number."""
    if text is not None:
        (tmp_path / "wanted").write_text(text)
    assert Policy(str(tmp_path))(context([500], None, 2)) == (2, {})


def test_what_is_wanted_at_least(tmp_path):
    """Without a file nothing is."""
    assert read_wanted(tmp_path) == 0
    write_wanted(tmp_path, count=3, max=None)
    assert read_wanted(tmp_path) == 3
    write_wanted(tmp_path, **LIMITS)
    assert read_wanted(tmp_path) == 1
