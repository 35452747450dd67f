"""Methods that learn nothing: templates that people wrote before they saw a picture."""

from __future__ import annotations

from dataclasses import dataclass

from ipo.experiments.compare.methods.base import Absent, Job, Templates
from ipo.metrics.template import SLOT


@dataclass(frozen=True)
class OneTemplate:
    """One template for every data set: the anchor that a search starts from, or the bare class name."""

    template: str
    uses_lm = False

    def fit(self, job: Job) -> Templates:
        """Return the template."""
        return Templates(job.clip, ((self.template, 1.0),))


class GivenTemplate:
    """The grid's own `initial_template`: to compare wordings, as when words are taken out one by one."""

    uses_lm = False

    def fit(self, job: Job) -> Templates:
        """Return the template."""
        return Templates(job.clip, ((job.config.initial_template, 1.0),))


class HandWritten:
    """The template that people wrote for this data set (CoOp's lists), which the published CLIP rows use."""

    uses_lm = False

    def fit(self, job: Job) -> Templates:
        """Return the data set's own template.

        Raises:
            Absent: there is none. The anchor does not stand in for it: that row exists already.
        """
        if job.hand_written is None:
            raise Absent("no hand-written template exists for this data set")
        return Templates(job.clip, ((job.hand_written, 1.0),))


class Ensemble80:
    """The 80 ImageNet templates of CLIP (Radford et al., 2021) as an ensemble of equal weights."""

    uses_lm = False

    def fit(self, job: Job) -> Templates:
        """Return the ensemble."""
        return Templates(job.clip, tuple((template, 1.0) for template in imagenet_templates()))


def imagenet_templates() -> tuple[str, ...]:
    """Return the 80 templates as open_clip ships them."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template(SLOT) for template in OPENAI_IMAGENET_TEMPLATES)
