"""The rewards that a template can be optimised for. A new reward is one file and one line below.

`base.py` defines the interface of a reward, and the rewards whose units are pictures. A reward is imported only when
it is asked for.
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
