"""Pauses between attempts."""

from __future__ import annotations

import pytest

from coral.models.retries import Backoff, parse_retry_after

NOW = 1_795_400_000.0  # 2026-11-23T02:13:20Z

RETRY_AFTER = [
    ({"Retry-After": "7"}, 7.0, "seconds"),
    ({"Retry-After": "1.5"}, 1.5, "some servers send fractions"),
    ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25, "milliseconds are finer, so they win"),
    ({"Retry-After": "Mon, 23 Nov 2026 02:13:50 GMT"}, 30.0, "HTTP date"),
    ({"Retry-After": "Mon, 23 Nov 2020 02:13:50 GMT"}, 0.0, "a date in the past: now"),
    ({"Retry-After": "soon"}, None, "not understood: our own pause"),
    ({"Retry-After": ""}, None, "empty"),
    ({"Retry-After": "-3"}, None, "negative"),
    ({"Retry-After": "nan"}, None, "not a number"),
    ({"Retry-After": "inf"}, None, "for ever"),
    ({"Retry-After": "9" * 400 + "s"}, None, "for ever, in digits"),
    ({"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None, "a year of twenty digits"),
    ({"Retry-After": "Mon, 01 Jan 2026 00:00:00 +99999999999999999999"}, None, "a zone of twenty digits"),
    ({"retry-after-ms": "x", "Retry-After": "2"}, 2.0, "bad milliseconds do not hide good seconds"),
    ({}, None, "absent"),
    ({"Retry-After": f"{NOW + 30:.0f}"}, float(f"{NOW + 30:.0f}") - NOW, "seconds since 1970"),
]


@pytest.mark.parametrize(("headers", "seconds", "reason"), RETRY_AFTER, ids=[row[2] for row in RETRY_AFTER])
def test_retry_after(headers, seconds, reason):
    """Every form of Retry-After is understood, and nonsense is no pause of its own."""
    assert parse_retry_after(headers, NOW) == seconds


def test_pauses_grow_to_the_cap_and_are_fully_jittered():
    """The n-th pause is uniform between 0 and base * 2^n, at most the cap."""
    backoff = Backoff(base_s=1.0, cap_s=8.0)
    for retry, longest in enumerate((1, 2, 4, 8, 8, 8)):
        pauses = [backoff.pause_s(retry, f"request {number}") for number in range(400)]
        assert 0 <= min(pauses) < 0.05 * longest
        assert 0.95 * longest < max(pauses) <= longest
        assert sum(pauses) / len(pauses) == pytest.approx(longest / 2, rel=0.1)


def test_jitter_follows_from_the_request_alone():
    """The same request pauses alike in every run, whatever else happens; different requests differ."""
    backoff = Backoff(base_s=1.0, cap_s=8.0)
    assert backoff.pause_s(2, "a") == backoff.pause_s(2, "a")
    assert backoff.pause_s(2, "a") != backoff.pause_s(2, "b")


def test_never_earlier_than_the_server_asked():
    """A Retry-After is a lower bound, spread by no more than the base."""
    backoff = Backoff(base_s=1.0, cap_s=8.0)
    pauses = [backoff.pause_s(5, str(number), asked_s=10.0) for number in range(100)]
    assert 10.0 <= min(pauses) < max(pauses) <= 11.0


def test_many_retries_do_not_overflow():
    """The thousandth pause is still a number."""
    assert Backoff(base_s=1.0, cap_s=8.0).pause_s(1000, "a") <= 8.0
