"""The hand-written pool chosen by the same reward: what is left of a gain when no language model writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipo.experiments.compare.methods.base import Budget, Job, Method, Templates, seen_by_a_search
from ipo.experiments.compare.methods.fixed import imagenet_templates
from ipo.experiments.run.result import choice_record

if TYPE_CHECKING:
    from ipo.experiments.run.config import RunConfig


class BestOf80(Method):
    """The best of CLIP's 80 ImageNet templates on the search pictures, selected as IPO selects.

    It is IPO itself with one step, in which a fixed list stands in for the language model: validity, order, finalists
    and the choice on the selection pictures are the same code.
    """

    label = "the best of the 80 templates"

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return those of a search."""
        return seen_by_a_search(config)

    def fit(self, job: Job) -> Templates:
        """Search the pool."""
        import dspy

        from ipo.programs.classifier import TemplateClassifier
        from ipo.programs.optimizer import IPO

        class Pool(dspy.Module):
            def forward(self, *, refuse: Any, **_: Any) -> dspy.Prediction:
                pool = [template for template in imagenet_templates() if refuse(template) is None]
                return dspy.Prediction(templates=pool, rejected=[])

        ipo = IPO(
            reward=job.reward,
            proposer=Pool(),
            steps=1,
            initial_template=job.config.initial_template,
            selection=job.config.selection,
            patience=None,
        )
        program: Any = ipo.compile(
            TemplateClassifier(job.clip, job.reward.class_names, job.config.initial_template),
            trainset=job.drawn.examples("search"),
            valset=job.drawn.examples("selection") or None,
        )
        scored = sum(len(step.scored) for step in program.steps) - 1
        return Templates(job.clip, tuple(program.templates), choice_record(program.choice), Budget(proposals=scored))
