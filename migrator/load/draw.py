"""What does each arrival do, for which tenant, with which values? From the seed and its number alone. Pure."""

from __future__ import annotations

import random
import string
import uuid
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from migrator.load.workload import Parameter, Source, Statement, Transaction, Value

_LETTERS = string.ascii_lowercase + string.digits
FIRST_UNIQUE = 1 << 40
"""Unique numbers begin here, for keys that applications have counted up to less."""

MOST_VALUES = 64
"""So many values a transaction may have."""

Rows = Mapping[str, Sequence[Sequence[Value]]]
"""Of a pool: the rows of each tenant."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """Things with their weights, to draw from."""

    things: tuple[Any, ...]
    sums: tuple[float, ...]

    @classmethod
    def of(cls, weights: Mapping[Any, float]) -> Weighted:
        """Return what draws each key as often as its weight says. Raises ValueError: no weight is above 0."""
        kept = {thing: weight for thing, weight in weights.items() if weight > 0}
        if not kept:
            raise ValueError("nothing to draw from")
        return cls(tuple(kept), tuple(accumulate(kept.values())))

    def draw(self, chance: random.Random) -> Any:
        return self.things[min(bisect_right(self.sums, chance.random() * self.sums[-1]), len(self.things) - 1)]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What an arrival does. values: of each statement. tenant: None where none is needed."""

    transaction: int
    tenant: str | None
    values: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True, slots=True)
class Deck:
    """All that arrivals are drawn from. tenants: for each transaction; None where it needs none."""

    seed: int
    transactions: tuple[Transaction, ...]
    tenants: tuple[Weighted | None, ...]
    pools: Mapping[str, Rows]
    turns: int
    unique_from: int
    _choice: Weighted

    @classmethod
    def of(
        cls,
        seed: int,
        transactions: Sequence[Transaction],
        tenants: Sequence[Mapping[str, float] | None],
        pools: Mapping[str, Rows],
        turns: int = 1,
        unique_from: int = FIRST_UNIQUE,
    ) -> Deck:
        """Return what draws from these; *turns*: transactions of one session. Raises ValueError as `Weighted.of`."""
        choice = Weighted.of({number: t.weight for number, t in enumerate(transactions)})
        drawn = tuple(None if weights is None else Weighted.of(weights) for weights in tenants)
        return cls(seed, tuple(transactions), drawn, pools, turns, unique_from, choice)

    def draw(self, number: int, turn: int = 0, transaction: int | None = None) -> Drawn:
        """Return what arrival *number* does in its *turn*-th transaction; the same each time it is asked.

        Args:
            transaction: this one, in place of a drawn one.
        """
        chance = random.Random((self.seed << 64) ^ (number << 16) ^ turn)
        which = int(self._choice.draw(chance))
        which = which if transaction is None else transaction
        among, tenant = self.tenants[which], None
        if among is not None:
            # All turns of a session are of one tenant: they draw it with the same chance.
            tenant = str(among.draw(chance if self.turns == 1 else random.Random(f"{self.seed} {number}")))
        hand = _Hand(self, chance, tenant, self.unique_from + (number * self.turns + turn) * MOST_VALUES)
        return Drawn(which, tenant, tuple(map(hand.values, self.transactions[which].statements)))


class _Hand:
    """Draws the values of one transaction."""

    def __init__(self, deck: Deck, chance: random.Random, tenant: str | None, unique: int) -> None:
        self._pools, self._chance, self._tenant, self._unique = deck.pools, chance, tenant, unique
        self._sample = chance.random()  # all statements take the same of their samples: they were captured together
        self._rows: dict[str, Sequence[Value]] = {}

    def values(self, statement: Statement) -> tuple[Value, ...]:
        if statement.samples:
            return statement.samples[int(self._sample * len(statement.samples))]
        return tuple(map(self._value, statement.parameters))

    def _value(self, parameter: Parameter) -> Value:
        of = parameter.of
        self._unique += 1
        match parameter.source:
            case Source.TENANT:
                return self._tenant
            case Source.VALUE:
                return of[0]
            case Source.VALUES:
                return self._chance.choice(of)
            case Source.INTEGER:
                return self._chance.randint(of[0], of[1])
            case Source.TEXT:
                return "".join(self._chance.choices(_LETTERS, k=of[0]))
            case Source.UUID:
                return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
            case Source.UNIQUE:
                return self._unique - 1
            case Source.POOL:
                if of[0] not in self._rows:  # one row for all values that a transaction takes from one pool
                    self._rows[of[0]] = self._chance.choice(self._pools[of[0]][self._tenant or ""])
                return self._rows[of[0]][of[1] - 1]
        raise AssertionError(parameter)
