"""Methods that learn nothing: templates that people wrote before they saw a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipo_prompts.experiments.compare.methods.base import Absent, Job, Method, Templates

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.config import RunConfig


@dataclass(frozen=True)
class Fixed(Method):
    """Templates of people: no seed changes them, and no picture is looked at.

    Attributes:
        label: see `Method`.
        templates: the templates for a job, with equal weights.
        is_opponent: see `Method`.
    """

    label: str
    templates: Callable[[Job], Sequence[str]]
    is_opponent: bool = True
    depends_on_seed: bool = False

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return 0."""
        return 0

    def fit(self, job: Job) -> Templates:
        """Return the templates; see `Method`."""
        return Templates(job.clip, tuple((template, 1.0) for template in self.templates(job)))


def hand_written(job: Job) -> Sequence[str]:
    """Return the data set's own template (CoOp's lists), which the published CLIP rows use.

    Raises:
        Absent: there is none. The anchor does not stand in for it: that row exists already.
    """
    if job.hand_written is None:
        raise Absent("no hand-written template exists for this data set")
    return [job.hand_written]
