"""The hand-written pool chosen by the same reward: what is left of a gain when no language model writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipo.experiments.compare.methods.base import Budget, Job, Method, Templates, seen_by_a_search
from ipo.experiments.compare.methods.fixed import imagenet_templates

if TYPE_CHECKING:
    from ipo.experiments.run.config import RunConfig


class BestOf80(Method):
    """The best of CLIP's 80 ImageNet templates on the search pictures, selected as IPO selects.

    It is the search itself with one step and a given list: validity, order, finalists
    and the choice on the selection pictures are the same code.
    """

    label = "the best of the 80 templates"

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return those of a search."""
        return seen_by_a_search(config)

    def fit(self, job: Job) -> Templates:
        """Search the pool."""
        from ipo.experiments.run.result import chosen
        from ipo.programs.search import search
        from ipo.programs.strategies.given import GivenTemplates

        prepared, pool = job.prepared, imagenet_templates()
        settings = job.config.search.model_copy(update={"steps": 1, "candidates_per_step": len(pool), "patience": None})
        selection = prepared.selection.units if prepared.selection else None
        found = search(settings, prepared.reward, GivenTemplates(pool), prepared.search.units, selection)
        template = ((found.choice.template, 1.0),)
        return Templates(job.clip, template, chosen(found.choice).model_dump(), Budget(proposals=found.proposed))
