"""What a template can be optimised for: a new reward is its file and its line below.

What one has to be, and those whose units are pictures: `base.py`. Nothing is imported before it is asked for.
"""

from ipo_prompts.metrics.registry import Registry

REWARDS = Registry(
    "reward",
    __name__,
    {
        "classification": "base:Classification",
        "retrieval": "retrieval:Retrieval",
        "several": "base:SeveralTask",
        "fit": "base:FitTask",
    },
    default="classification",
    own="base:own_reward",
)
