"""Ragged arrays against loops over their stretches: empty ones, none at all, in any order and of any integer type."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.world_model import ragged

TYPES = st.sampled_from([np.int64, np.int32, np.uint16])
LENGTHS = st.lists(st.integers(0, 6), max_size=12)
STRETCHES = st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 6)), max_size=12)


@given(LENGTHS, TYPES)
def test_offsets_are_where_a_loop_gets_to(lengths: list[int], kind: type) -> None:
    reached = [0]
    for length in lengths:
        reached.append(reached[-1] + length)
    found = ragged.offsets(np.array(lengths, kind))
    assert found.tolist() == reached
    assert found.dtype == np.int64


@given(LENGTHS, TYPES)
def test_an_owner_is_the_stretch_that_a_loop_is_in(lengths: list[int], kind: type) -> None:
    found = ragged.owners(np.array(lengths, kind))
    assert found.tolist() == [number for number, length in enumerate(lengths) for _ in range(length)]
    assert found.dtype == np.int64


@given(STRETCHES, TYPES)
def test_places_are_those_of_each_stretch_one_after_the_other(stretches: list[tuple[int, int]], kind: type) -> None:
    begins = np.array([begin for begin, _ in stretches], np.int64)
    found = ragged.places(begins, np.array([length for _, length in stretches], kind))
    assert found.tolist() == [begin + step for begin, length in stretches for step in range(length)]
    assert found.dtype == np.int64


@given(LENGTHS)
def test_stretches_that_follow_one_another_have_every_place_once(lengths: list[int]) -> None:
    offsets = ragged.offsets(np.array(lengths, np.int64))
    places = ragged.places(offsets[:-1], np.diff(offsets))
    assert places.tolist() == list(range(sum(lengths)))
    assert (offsets[ragged.owners(np.diff(offsets))] <= places).all()


@pytest.mark.parametrize("kind", [np.int32, np.uint8])
def test_sums_go_beyond_what_the_type_of_the_lengths_holds(kind: type) -> None:
    longest = int(np.iinfo(kind).max)
    assert ragged.offsets(np.array([longest, longest], kind)).tolist() == [0, longest, 2 * longest]


def test_what_was_given_is_left_as_it_was() -> None:
    begins, lengths = np.array([7, 3]), np.array([2, 1])
    ragged.places(begins, lengths)
    assert (begins.tolist(), lengths.tolist()) == ([7, 3], [2, 1])
