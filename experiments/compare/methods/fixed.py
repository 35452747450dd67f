"""Methods that learn nothing: templates that people wrote before they saw a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipo.experiments.compare.methods.base import Absent, Job, Method, Templates
from ipo.metrics.template import SLOT

if TYPE_CHECKING:
    from ipo.experiments.run.config import RunConfig


class Fixed(Method):
    """What templates of people have in common: no seed changes them, no picture was looked at."""

    depends_on_seed = False

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return 0."""
        return 0


@dataclass(frozen=True)
class OneTemplate(Fixed):
    """One template for every data set: the anchor that a search starts from, or the bare class name."""

    template: str
    label: str
    is_opponent: bool = True

    def fit(self, job: Job) -> Templates:
        """Return the template."""
        return Templates(job.clip, ((self.template, 1.0),))


class GivenTemplate(Fixed):
    """The grid's own `initial_template`: to compare wordings, as when words are taken out one by one."""

    label = "the given template"
    is_opponent = False

    def fit(self, job: Job) -> Templates:
        """Return the template."""
        return Templates(job.clip, ((job.config.initial_template, 1.0),))


class HandWritten(Fixed):
    """The template that people wrote for this data set (CoOp's lists), which the published CLIP rows use."""

    label = "the hand-written template"

    def fit(self, job: Job) -> Templates:
        """Return the data set's own template.

        Raises:
            Absent: there is none. The anchor does not stand in for it: that row exists already.
        """
        if job.hand_written is None:
            raise Absent("no hand-written template exists for this data set")
        return Templates(job.clip, ((job.hand_written, 1.0),))


class Ensemble80(Fixed):
    """The 80 ImageNet templates of CLIP (Radford et al., 2021) as an ensemble of equal weights."""

    label = "the ensemble of 80 templates"

    def fit(self, job: Job) -> Templates:
        """Return the ensemble."""
        return Templates(job.clip, tuple((template, 1.0) for template in imagenet_templates()))


def imagenet_templates() -> tuple[str, ...]:
    """Return the 80 templates as open_clip ships them."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template(SLOT) for template in OPENAI_IMAGENET_TEMPLATES)
