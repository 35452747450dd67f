"""What a template can be optimised for: a file each or for those alike; a new reward is its file and its line below.

What one has to be: `base.py`. Nothing is imported before it is asked for.
"""

from ipo_prompts.metrics.registry import Registry

REWARDS = Registry(
    "reward",
    __name__,
    {
        "classification": "classification:Classification",
        "retrieval": "retrieval:Retrieval",
        "several": "classification:SeveralTask",
        "fit": "classification:FitTask",
    },
    default="classification",
    own="base:own_reward",
)
