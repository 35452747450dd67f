"""A finished table: what its renderers need and nothing else. Values and differences are fractions in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ipo_prompts.experiments.compare.published import PublishedRow
from ipo_prompts.experiments.compare.tables.quantities import ColumnScore
from ipo_prompts.metrics.verdict import Verdict


@dataclass(frozen=True)
class Scope:
    """What a row is about: one data set, or an average over several.

    Attributes:
        name: the data set, or "average", "average without EuroSAT".
        data: the data sets in it.
        split: "official", "own" or "different: why"; of an average, the first that differs.
    """

    name: str
    data: tuple[str, ...]
    split: str

    @property
    def is_average(self) -> bool:
        """Whether it averages data sets."""
        return self.name.startswith("average")


@dataclass(frozen=True)
class Row:
    """A method in a scope. `scores` holds None where a column does not apply; it is empty where `absent` is all.

    `labelled_per_class` counts the labelled pictures of each class that it saw; None where that is not known. `gaps`
    says why a column that the others have is missing.
    """

    scope: str
    method: str
    seeds: int
    absent: str
    scores: dict[str, ColumnScore | None]
    labelled_per_class: int | None = None
    gaps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodGain:
    """A method minus another, in one column and scope.

    Attributes:
        verdict: for the classes of a data set, on an average for the data sets, as given; it decides.
        like_these: for classes, on an average for data sets, like these; None where they cannot be told.
        seeds: how many seeds both have (the smallest number over the data sets).
    """

    scope: str
    method: str
    other: str
    column: str
    verdict: Verdict
    like_these: Verdict | None
    seeds: int


@dataclass(frozen=True)
class SearchCost:
    """What a search cost and how much better it looked than it was; means per run over seeds (and data sets).

    `search`, `selection`, `test` are the values of the final templates on pictures of the classes searched on, None
    where none were drawn; a method that learns nothing from them is scored on them too. `optimism` is the gain over the
    reference on the search pictures minus that on the test pictures: both gains are paired, so that easier pictures do
    not look like over-fitting. `usd` is None where a price is unknown. `gain_held_back` is what the choice gained over
    the search's initial template on held-back pictures, see `Choice`; None where none were.
    """

    scope: str
    method: str
    search: float | None
    selection: float | None
    test: float
    optimism: float | None
    proposals: float
    looked_at: float
    calls: float
    tokens_in: float
    tokens_out: float
    usd: float | None
    gain_held_back: float | None


@dataclass(frozen=True)
class Table:
    """All parts of a table.

    Attributes:
        measure, unit: what the values are and what they are of: accuracy of pictures, mean IoU of scenes.
        headline: the column that gains and verdicts speak of.
    """

    protocol: str
    measure: str
    unit: str
    reference: str
    references: tuple[str, ...]
    columns: tuple[str, ...]
    headline: str
    seeds: tuple[int, ...]
    scopes: tuple[Scope, ...]
    rows: tuple[Row, ...]
    gains: tuple[MethodGain, ...]
    searches: tuple[SearchCost, ...]
    verdicts: tuple[str, ...]
    notes: tuple[str, ...]
    published: tuple[PublishedRow, ...]

    @property
    def averages(self) -> tuple[Scope, ...]:
        """The scopes that are averages; there are none of one data set."""
        return tuple(scope for scope in self.scopes if scope.is_average)
