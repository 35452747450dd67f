"""The files that a report is made from, checked on the way in: what reaches the page has the type that it claims."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Ends = tuple[float, float]
"""The two ends of a 95 % interval."""

Thumbnail = Annotated[str, Field(pattern=r"^data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/]+={0,2}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=True)


class Measured(_Part):
    """One template on one set of n pictures; accuracy is a fraction, loss is in nats."""

    accuracy: float
    loss: float
    n: int
    ci95: Ends


class Gain(_Part):
    """Optimised minus initial accuracy on the same pictures."""

    mean: float
    ci95: Ends
    p: float
    test: str


class Comparison(_Part):
    """Both templates on one set of pictures."""

    initial: Measured
    optimised: Measured
    difference: Gain


class Used(_Part):
    """What one language model was used for."""

    name: str
    calls: int
    cached: int
    tokens_in: int
    tokens_out: int
    usd: float | None


class Harmonic(_Part):
    """Harmonic mean of the accuracies on test and new classes."""

    initial: float
    optimised: float


class Fingerprinted(_Part):
    """A CLIP or a data set, and the digest of what it was."""

    name: str
    fingerprint: str


class Chosen(_Part):
    """How the winner was chosen, and by how much it won on the pictures that chose it."""

    how: str
    kept_initial: bool
    gain: float
    standard_error: float | None


class Data(Fingerprinted):
    """The data set of a run."""

    classes: int
    shots: int


class Result(_Part):
    """`result.json`."""

    version: Literal[1] = Field(alias="schema")
    template: str
    initial_template: str
    clip: Fingerprinted
    data: Data
    scores: dict[Literal["search", "selection", "test", "new"], Comparison]
    harmonic_mean: Harmonic | None
    selection: Chosen
    stopped: str | None
    steps: int
    templates_scored: int
    lm: dict[Literal["optimizer", "describer"], Used | None]
    seconds: dict[str, float]
    seed: int


class Environment(_Part):
    """`environment.json`."""

    python: str
    platform: str
    machine: str
    threads: int
    device: str
    packages: dict[str, str]
    text_path: str


class Program(_Part):
    """What the report needs of `program.json`."""

    class_names: list[str]


class Change(_Part):
    """By how much a score changes, with its interval; None where the pictures cannot bound it."""

    change: float
    ci95: Ends | None


class WordChange(_Part):
    """One change made to the template.

    Attributes:
        kind: a word or phrase was removed, replaced by neutral words, or the slot was moved.
        span: where, in characters of the template; None when it is nowhere.
        text: what stood there.
        template: the changed template; for a placebo the first of its wordings.
        wordings: the neutral words that stood in for a placebo; the numbers are the mean over them.
        p: of the change of accuracy, corrected for the number of changes.
        significant: whether it is more than chance.
    """

    kind: Literal["remove", "placebo", "move"]
    span: tuple[int, int] | None
    text: str
    template: str
    accuracy: Change
    loss: Change
    p: float | None = None
    significant: bool
    wordings: list[str] = Field(default=[], alias="with")


class Skipped(_Part):
    """A change that could not be scored, and why."""

    template: str
    reason: str


class Words(_Part):
    """What each word does, measured on `n` pictures of `part`."""

    part: str
    n: int
    template: str
    accuracy: float
    loss: float
    changes: list[WordChange]
    skipped: list[Skipped] = []
    note: str = ""


class ClassGain(_Part):
    """One class: accuracies before and after, on its n pictures."""

    name: str
    part: Literal["test", "new"]
    n: int
    initial: float
    optimised: float
    gain: float
    loss_change: float


class Confusion(_Part):
    """How often pictures of a class were taken for another, under both templates."""

    true: str
    predicted: str
    initial: int
    optimised: int


class Confusions(_Part):
    """Confusions that are gone and that are new."""

    vanished: list[Confusion] = []
    appeared: list[Confusion] = []


class Flip(_Part):
    """A picture whose label changed from right to wrong or back."""

    picture: str
    class_: str = Field(alias="class")
    before: str
    after: str
    thumbnail: Thumbnail


class Flips(_Part):
    """Pictures that flipped; the lists may hold fewer than there are."""

    gained: list[Flip] = []
    lost: list[Flip] = []
    gained_total: int
    lost_total: int


class Analysis(_Part):
    """`analysis.json`."""

    version: Literal[1] = Field(alias="schema")
    words: Words | None
    words_missing: str | None = None
    classes: list[ClassGain] = []
    confusions: Confusions = Confusions()
    flips: Flips | None = None
