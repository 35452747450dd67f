"""The hand-written pool chosen by the same reward: what is left of a gain when no language model writes."""

from __future__ import annotations

from typing import Any

from ipo.experiments.compare.methods.base import Budget, Job, Templates
from ipo.experiments.compare.methods.fixed import imagenet_templates
from ipo.experiments.run.result import choice_record


class BestOf80:
    """The best of CLIP's 80 ImageNet templates on the search pictures, selected as IPO selects.

    It is IPO itself with one step, in which a fixed list stands in for the language model: validity, order, finalists
    and the choice on the selection pictures are the same code.
    """

    uses_lm = False

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
