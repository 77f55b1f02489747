"""The stable hash against SplitMix64 in plain integers, and against what its authors' algorithm is known to say."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.world_model import masking
from platform_assets.world_model.stable_hash import GOLDEN, stable_hash

WORD = 2**64
VALUES = st.lists(st.integers(0, WORD - 1) | st.sampled_from([0, 1, WORD - 1, WORD - GOLDEN]), max_size=20)


def step(state: int) -> int:
    """What SplitMix64 says next in a state: Steele, Lea and Flood 2014, with Python's integers of any size."""
    mixed = (state + 0x9E3779B97F4A7C15) % WORD
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % WORD
    return mixed ^ (mixed >> 31)


@given(VALUES)
def test_a_hash_is_a_step_of_splitmix64(values: list[int]) -> None:
    given_ones = np.array(values, np.uint64)
    found = stable_hash(given_ones)
    assert found.tolist() == [step(value) for value in values]
    assert found.dtype == np.uint64
    assert given_ones.tolist() == values, "what was given is left as it was"


def test_the_first_numbers_of_the_published_generator_are_found() -> None:
    """The sequence of state 1234567, as every implementation of SplitMix64 checks itself by."""
    states = np.array([(1234567 + GOLDEN * number) % WORD for number in range(5)], np.uint64)
    assert stable_hash(states).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821,
    ]  # fmt: skip


@given(st.integers(0, WORD - 1), st.integers(0, 63))
def test_every_bit_of_a_value_changes_its_hash(value: int, bit: int) -> None:
    one, other = stable_hash(np.array([value, value ^ (1 << bit)], np.uint64)).tolist()
    assert one != other


@given(VALUES, st.integers(-(2**70), 2**70))
def test_with_a_seed_it_is_two_steps_from_value_and_seed(values: list[int], seed: int) -> None:
    found = masking._mixed(np.array(values, np.uint64), seed)
    assert found.tolist() == [step(step(value ^ (seed * GOLDEN % WORD))) for value in values]
