"""Lines: the products of every basket, each at most once, their quantities and what was paid.

A line is a favourite of the customer, a complement of the line before, something local, or what the mission buys that week.
Legend: L lines of one block, sorted by (basket, product); B baskets.
What does not belong here: how likely a product is (demand, stores, customers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.baskets import ANONYMOUS, Baskets
from platform_assets.simulators.retailer.customers import FAVOURITES, Customers
from platform_assets.simulators.retailer.prices import line_cents
from platform_assets.simulators.retailer.products import GROUP_SIZE
from platform_assets.simulators.retailer.scenario import Structure
from platform_assets.simulators.retailer.slots import PRODUCT_SLOT_BITS, PRODUCT_SLOTS, slot_table
from platform_assets.simulators.retailer.stores import LOCAL_SLOT_BITS

# A basket's place in its block and a product share one 32-bit sort key, so that a block holds at most 65,536 lines.
BLOCK_LINES = 1 << 16
_PRODUCT_BITS = 16
_PRODUCT_MASK = np.uint32((1 << _PRODUCT_BITS) - 1)
# Rounds in which a repeated product is drawn anew from its basket's table; after them, from all products alike.
_FAITHFUL_ROUNDS = 3
_FAVOURITE_TABLE = slot_table(0.75 ** np.arange(FAVOURITES), 256)
_QUANTITIES = np.array([1, 2, 3, 4, 5, 6, 8, 12], np.int32)
_QUANTITY_TABLE = slot_table(np.array([210, 22, 14, 4, 2, 2, 1, 1]), 256)
# In 65,536: lines that give money back, and lines given away.
_RETURNS, _GIFTS = 3, 1


@dataclass(frozen=True)
class Lines:
    """L lines: `product` number, `quantity`, and `cents` paid for the whole line (a few at or below 0)."""

    product: np.ndarray
    quantity: np.ndarray
    cents: np.ndarray


@dataclass(frozen=True)
class Shelf:
    """What one week offers: demand tables, local tables by place, complements, and the chain's prices in cents."""

    tables: np.ndarray
    local: np.ndarray
    place: np.ndarray
    partners: np.ndarray
    cents: np.ndarray


def draw_lines(
    rng: np.random.Generator, baskets: Baskets, customers: Customers, shelf: Shelf, structure: Structure
) -> Lines:
    """All lines of a block."""
    source, slot, price, luck = rng.integers(0, 1 << 16, (4, int(baskets.size.sum())), np.uint16)
    owner = np.repeat(np.arange(len(baskets), dtype=np.uint16), baskets.size)
    table = np.repeat(baskets.table << PRODUCT_SLOT_BITS, baskets.size)
    product = shelf.tables[table | slot]
    edges = np.cumsum([structure.loyalty, structure.co_purchase, structure.store_differences]) * (1 << 16)
    _put_favourites(product, np.flatnonzero(source < edges[0]), owner, slot, baskets, customers)
    _put_local(product, np.flatnonzero((edges[1] <= source) & (source < edges[2])), owner, slot, baskets, shelf)
    _put_complements(product, (edges[0] <= source) & (source < edges[1]), owner, slot, shelf)
    product = _without_repeats(rng, owner, product, table, shelf)
    quantity = _QUANTITIES[_QUANTITY_TABLE[luck >> 8]]
    return Lines(product, quantity, _paid(shelf.cents[product], quantity, price, luck))


def _put_favourites(
    product: np.ndarray, lines: np.ndarray, owner: np.ndarray, slot: np.ndarray, baskets: Baskets, customers: Customers
) -> None:
    """In place; the anonymous have no favourites and keep what the mission drew."""
    lines = lines[baskets.customer[owner[lines]] != ANONYMOUS]
    basket = owner[lines]
    rank = _FAVOURITE_TABLE[slot[lines] & 255]
    product[lines] = customers.favourites[baskets.customer[basket], baskets.mission[basket], rank]


def _put_local(
    product: np.ndarray, lines: np.ndarray, owner: np.ndarray, slot: np.ndarray, baskets: Baskets, shelf: Shelf
) -> None:
    """In place: what the store's region and format prefer."""
    place = shelf.place[baskets.store[owner[lines]]].astype(np.int32)
    product[lines] = shelf.local[(place << LOCAL_SLOT_BITS) | (slot[lines] >> (16 - LOCAL_SLOT_BITS))]


def _put_complements(
    product: np.ndarray, wanted: np.ndarray, owner: np.ndarray, slot: np.ndarray, shelf: Shelf
) -> None:
    """In place: a complement of the line before, which must be of the same basket and no complement itself."""
    follows = wanted[1:] & ~wanted[:-1] & (owner[1:] == owner[:-1])
    lines = np.flatnonzero(follows) + 1
    anchor = product[lines - 1]
    partner = shelf.partners[anchor, slot[lines] % (GROUP_SIZE - 1)]
    product[lines] = np.where(partner == anchor, product[lines], partner)


def _without_repeats(
    rng: np.random.Generator, owner: np.ndarray, product: np.ndarray, table: np.ndarray, shelf: Shelf
) -> np.ndarray:
    """Products sorted inside their basket, none twice: repeats are drawn anew until there are none."""
    key = np.sort((owner.astype(np.uint32) << _PRODUCT_BITS) | product)
    rounds = 0
    while len(repeats := np.flatnonzero(key[1:] == key[:-1])):
        if rounds < _FAITHFUL_ROUNDS:
            drawn = shelf.tables[table[repeats] | rng.integers(0, PRODUCT_SLOTS, len(repeats), np.uint16)]
        else:
            drawn = rng.integers(0, len(shelf.partners), len(repeats), np.uint16)
        key[repeats] = (key[repeats] & ~_PRODUCT_MASK) | drawn
        key.sort()
        rounds += 1
    return (key & _PRODUCT_MASK).astype(np.uint16)


def _paid(chain: np.ndarray, quantity: np.ndarray, price: np.ndarray, luck: np.ndarray) -> np.ndarray:
    cents = line_cents(chain, price, luck.astype(np.uint8)) * quantity
    odd = np.flatnonzero(price >= (1 << 16) - _RETURNS - _GIFTS)
    cents[odd] = np.where(price[odd] == (1 << 16) - 1, 0, -cents[odd])
    return cents
