"""What travels between tests and program: plain data, whole or not at all."""

import contextlib
import math
from array import array
from collections import Counter, OrderedDict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coral.jail.inside import standard
from coral.jail.inside.wire import DEEPEST, NotPlain, dumps, loads

keys = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
plain = st.recursive(
    keys
    | st.complex_numbers(allow_nan=False)
    | st.integers(-(10**400), 10**400)
    | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.sets(keys)
        | st.frozensets(keys)
        | st.lists(st.integers(), min_size=8)
        | st.lists(st.floats(allow_nan=False), min_size=8)
    ),
    max_leaves=20,
)


def alike(a, b):
    """Equal, and of the same types to the last leaf: 1, 1.0 and True differ."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return all(alike(*pair) for pair in zip(a.items(), b.items(), strict=True))
    return a == b


@given(plain)
def test_plain_data_arrive_as_they_left(value):
    assert alike(loads(dumps(value)), value)


STANDARD_NAMES = list(standard._FORMS)


def built(name, parts):
    """An encoding that says it is a value of the standard library."""
    return f"x{name};".encode() + dumps(parts)


@given(
    st.binary()
    | plain.map(lambda value: dumps(value)[:-1])
    | st.text("ludemnsib:;.0123456789a,ID").map(str.encode)
)
def test_any_text_is_read_or_refused(data):
    """And nothing else is raised, whatever a program sends."""
    with contextlib.suppress(NotPlain):
        loads(data)


class Point(NamedTuple):
    x: int
    y: int


class Loud(str):
    __slots__ = ()

    def __str__(self):
        return "shouting"


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (Point(1, 2), (1, 2)),
        (Loud("quiet"), "quiet"),
        (memoryview(b"xy"), b"xy"),
        (range(3, 9, 2), range(3, 9, 2)),
        (int, int),
        ([math.inf, -0.0], [math.inf, -0.0]),
        ([2**20_000], [2**20_000]),
        ("\ud800", "\ud800"),
    ],
    ids=range(9),
)
def test_subclasses_arrive_as_what_they_derive_from(value, arrives):
    assert alike(loads(dumps(value)), arrives)


STANDARD = [
    bytearray(b"x"),
    array("i", [1, -2]),
    array("d"),
    date(2026, 2, 28),
    datetime(2026, 2, 28, 23, 59, 59, 999),  # noqa: DTZ001  as programs have it
    datetime(2026, 2, 28, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    time(1, 2, 3),
    timedelta(days=-1, microseconds=1),
    Decimal("1.50"),
    Decimal("-Infinity"),
    Fraction(-1, 3),
    deque([1, [2]], maxlen=5),
    deque(),
    slice(1, None, 2),
    ...,
    NotImplemented,
]


@pytest.mark.parametrize("value", [*STANDARD, STANDARD], ids=repr)
def test_values_of_the_standard_library_travel(value):
    assert alike(loads(dumps(value)), value)


@pytest.mark.parametrize("value", [{2: "a", 1: "b"}, OrderedDict(a=1), {}])
def test_views_of_a_dict_travel(value):
    for view in (value.keys(), value.items()):
        arrived = loads(dumps(view))
        assert arrived == view == set(view)
        assert list(arrived) == list(view)


class Liar:
    """Says that it is a fraction."""

    numerator, denominator = "1", b"2"


Liar.__module__, Liar.__qualname__ = "fractions", "Fraction"


@pytest.mark.parametrize("value", [Liar(), Fraction(1, 2**10_000), {1: 2}.values(), time])
def test_what_only_looks_like_a_standard_value_is_refused(value):
    with pytest.raises(NotPlain):
        dumps(value)


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def cyclic():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [nested(DEEPEST + 1), cyclic(), object(), print, {1: lambda: 0}])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(NotPlain):
        dumps(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"l999999999999:.",
        b"l1:" * 5000,
        b"I3:1,2",
        b"s5:abc",
        b"m1:l0:.n",
        b"yeval;",
        b"r1;2;0;",
        b"o1;",
        b"nn",
        b"l2:I9:1,2,3,4,5x",
        b"xos.system;u1:.s2:ls",
        b"xdecimal.Decimal;u1:.i1;",
        b"xdecimal.Decimal;u1:.s2:no",
        b"xfractions.Fraction;u2:.i1;i0;",
        b"xfractions.Fraction;u2:.i1;i1" + b"0" * 9_999 + b";",
        b"xfractions.Fraction;n",
        b"xcollections.deque;u2:.s3:abcn",
        b"xcollections.deque;u2:.l0:.i-1;",
        b"xarray.array;u2:.s1:ib3:abc",
        b"xdatetime.date;u1:.s3:now",
        b"xbuiltins.dict_keys;u1:.l0:.",
        b"xbuiltins.dict_items;u1:.l2:.nn",
        b"xbuiltins.ellipsis;u1:.n",
    ],
)
def test_what_is_no_encoding_is_refused(data):
    with pytest.raises(NotPlain):
        loads(data)
