"""The result of a run, `result.json`. The models here define its format; `pipeline.py` fills them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer

from ipo_prompts.experiments.run.files import Content, read_model
from ipo_prompts.experiments.tasks import LABEL
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.verdict import Ends, Rounded, Verdict
from ipo_prompts.programs.lm.ledger import total_usd
from ipo_prompts.programs.phrases import DomainWord
from ipo_prompts.programs.state import ClipUsed

RESULT = "result.json"
PROGRAM = "program.json"


class HeldOut(Content):
    """The test units of a run, and how often they were tested.

    Attributes:
        digest: the digest of the test images and their labels.
        tested_before: how many tests had at least half of the units before; only the first test has a verdict.
    """

    digest: str
    tested_before: int


class Chosen(Content):
    """How the winner was chosen, see `selection.Choice`.

    Attributes:
        how: how the winner was chosen, in words.
        kept_initial: whether the initial template was kept.
        gain: the gain of this way of choosing, measured on validation units that were left out of the choice; None if
            nothing was held back.
        standard_error: the standard error of the gain; None if it cannot be estimated from the units.
    """

    how: str
    kept_initial: bool
    gain: Rounded | None
    standard_error: Rounded | None


class Used(Content):
    """How much one language model was used: its calls, tokens and dollars."""

    name: str
    calls: int
    tokens_in: int
    tokens_out: int
    usd: Rounded | None


class LanguageModels(Content):
    """How much the language model of each role was used; None for a role without a language model."""

    optimizer: Used | None
    describer: Used | None


class DataUsed(Content):
    """The data set of a run.

    Attributes:
        name, fingerprint: its name, and the digest of its images.
        split: see `DataSet.split`.
        classes: the number of classes.
        shots: the most base images per class that the search used.
    """

    name: str
    fingerprint: str
    split: str
    classes: int
    shots: int


Joined = Annotated[
    tuple[int, ...],
    BeforeValidator(lambda text: text.split() if isinstance(text, str) else text),
    PlainSerializer(lambda numbers: " ".join(map(str, numbers)), return_type=str),
]
"""Whole numbers that a file holds as one text, with blanks between them."""


class Tested(Content):
    """A set of test units, and what was right on it, unit by unit.

    Attributes:
        classes: how many classes compete.
        split: see `DataSet.split`.
        images: a digest of the images, with their labels, in order. Two results with the same digest can be
            compared unit by unit.
        labels: the class of each unit; None if units have no class.
        draws: a number for each unit, the same for all variants of one image; None if no two units belong together.
        hits: what was tested → a text with `0` or `1` for each unit, or a number for each unit. The first is the score
            before the first step, if it was tested; then come the steps that changed something. The last is the answer.
    """

    classes: int
    split: str
    images: str
    labels: Joined | None
    draws: Joined | None
    hits: dict[str, str | tuple[float, ...]] = Field(min_length=1)

    @property
    def answer(self) -> str | tuple[float, ...]:
        """The hits of the answer."""
        return [*self.hits.values()][-1]

    @property
    def values(self) -> Doubles:
        """The value of each unit for the answer, float64 (n,): 1.0 for a hit and 0.0 for a miss, or a number."""
        return np.array([*self.answer], dtype=np.float64)


class Budget(Content):
    """The numbers of templates, calls and tokens that a row of a grid used, and their cost.

    Attributes:
        proposals: templates that a search's strategy proposed and that were scored, besides the initial template.
        scored_only: templates that were scored without being proposed: templates of a list or of a vocabulary, and
            templates that a strategy scored only.
        calls: replies of language models, to the optimizer and the describer together.
        tokens_in, tokens_out: the tokens of the questions, and of the replies. For a lost reply, the largest possible
            number is counted.
        usd: the cost of the calls in US dollars; None when a price is not known. A reply from the cache of earlier runs
            cost nothing, but it is counted at its full price: methods are compared by the calls that they need.
    """

    proposals: int = 0
    scored_only: int = 0
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: Rounded | None = 0.0


class StrategyUsed(Content):
    """How new templates were found.

    Attributes:
        name: the name of the strategy.
        settings: the settings of the strategy.
        passes_over: a text that says why a template may not be proposed although it scores better than the best
            template so far; empty if the strategy gives no reason.
        domain: the domain words that were tried, with their kinds and sources.
    """

    name: str
    settings: dict[str, Any]
    passes_over: str = ""
    domain: tuple[DomainWord, ...] = ()


class RunResult(Content):
    """The content of `result.json`.

    Attributes:
        cell: in a grid, the digest of what the cell asks for.
        template: the chosen template; `initial_template` if no other was convincing.
        prompts: the sentences that the CLIP reads for the first two classes.
        rows: what each step of the answer did, in the order of choice, on each part of the images that the run has.
        names: class name as typed → the name in prompts, for the classes whose names differ.
        controls: what the test images give otherwise, by name: scores that chose nothing and are not tested.
        tests: test set → its units: `test`, the `new` classes, and in a grid the other sets of its protocol.
        gaps: test set → why it has no score.
        advice: what a person may do to know more, or to get more; empty if there is nothing to do.
        ended: why the search ended, in words.
        stopped: the limit that ended the search early, in words; None if no limit did.
        proposed: how many templates were proposed and scored; `templates_scored` counts the initial template as well.
        scored_only: how many templates were scored without being proposed.
        written: how many templates of a language model could be used; None if it was asked for none.
        seconds: how long the run took, in seconds: `total`, and its parts.
        export: the target of `ipo export` that holds the whole program and needs no code of IPO.
    """

    version: Literal[4] = Field(default=4, alias="schema")
    cell: str = ""
    template: str
    prompts: tuple[str, ...] = ()
    initial_template: str
    rows: tuple[AnswerRow, ...]
    names: dict[str, str]
    controls: dict[str, Control] = Field({})
    tests: dict[str, Tested] = Field({})
    gaps: dict[str, str] = Field({})
    advice: str
    reward: RewardNames
    strategy: StrategyUsed
    clip: ClipUsed
    data: DataUsed
    held_out: HeldOut
    selection: Chosen
    ended: str
    stopped: str | None
    steps: int
    proposed: int
    templates_scored: int
    scored_only: int
    written: int | None = None
    lm: LanguageModels
    seconds: dict[str, Annotated[float, Field(ge=0, le=1e9)]]
    seed: int
    export: str = "head"

    def rows_on(self, part: PartName) -> list[AnswerRow]:
        """Return the rows of a part by the measure of the run; the last is `in all`. Empty if there is no such part."""
        return [row for row in self.rows if row.part == part and row.measure == self.reward.measure]

    @property
    def judged_on(self) -> PartName:
        """The part whose numbers are shown: the test; if it stayed closed, the part that chose the template."""
        parts: tuple[PartName, ...] = ("test", "val", "train")
        return next(part for part in parts if self.rows_on(part))

    # What a table of a grid reads, of a run as of a method that is no search.

    absent: ClassVar[None] = None

    @property
    def templates(self) -> tuple[str, ...] | None:
        """The template; None if labelled images decide, too: then no text alone is the answer."""
        return None if any(row.what == "images" and row.kept for row in self.rows) else (self.template,)

    @property
    def shown(self) -> dict[str, float]:
        """The score on the train images and, if there are any, on the validation images.

        It is empty if labelled images decide, too: they are these images.
        """
        if self.templates is None:
            return {}
        return {part: rows[-1].after.value for part in ("train", "val") if (rows := self.rows_on(part))}

    @property
    def val_gain(self) -> float | None:
        """See `Chosen.gain`."""
        return self.selection.gain

    @property
    def budget(self) -> Budget:
        """What the search used."""
        used = [role for role in (self.lm.optimizer, self.lm.describer) if role]
        return Budget(
            proposals=self.proposed,
            scored_only=self.scored_only,
            calls=sum(role.calls for role in used),
            tokens_in=sum(role.tokens_in for role in used),
            tokens_out=sum(role.tokens_out for role in used),
            usd=total_usd(role.usd for role in used),
        )

    @property
    def gain(self) -> Verdict:
        """The gain of all steps together on the held-out test; see `judged_on`."""
        return self.rows_on(self.judged_on)[-1].difference


def load_result(place: Path) -> RunResult:
    """Read a result from a run directory or a file.

    Raises:
        InputError: the file cannot be read, or is no result.
    """
    return read_model(RunResult, place / RESULT if place.is_dir() else place)


Thumbnail = Annotated[str, Field(pattern=r"^data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/]+={0,2}$")]
Label = Annotated[str, Field(pattern=LABEL)]


class RewardNames(Content):
    """The names of the reward, of its measure, and of its units (in the plural)."""

    name: str = Field("classification", pattern=r"^[\w.:-]{1,100}$")
    measure: Label = "accuracy"
    unit: Label = "images"


TestPart = Literal["test", "new"]
TEST_PARTS: tuple[TestPart, ...] = get_args(TestPart)
PartName = Literal["train", "val", "test", "new"]
AnyPart = PartName | Literal["fresh"]
"""A part of the images.

`fresh` images are left over: no template was searched or chosen with them. They test the single words of a template.
"""


class Value(Content):
    """A score, as a fraction, with its 95 % interval."""

    value: Rounded
    ci95: Ends


class Control(Value):
    """The score of n test units by a classifier that stands beside the answer."""

    n: int


What = Literal["names", "template", "other names", "images", "in all"]


class AnswerRow(Content):
    """One step of the answer: the score before it and after it, on the same n units.

    Attributes:
        part: the part of the images.
        measure: the measure of the run, a further measure of its reward, or `mean over classes`.
        what: the step. `names` are read by rule, `other names` are found by a search. `in all` is all steps together.
        how: what changed, in words.
        kept: whether the step changed anything. If not, `after` is `before`.
        before: the score before the step. Before the first step, it is the score of the initial template with the class
            names as typed.
        classes: how many classes the units show, and how many compete; None if a unit has no single class. If the
            units show fewer than two, nothing is tested.
        difference: `after` less `before`, with its verdict. Only the steps on test parts are tested, together.
    """

    part: PartName
    measure: Label
    what: What
    how: str
    kept: bool
    before: Value
    after: Value
    n: int
    classes: tuple[int, int] | None = None
    difference: Verdict
