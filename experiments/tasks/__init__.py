"""The rewards that a template can be optimised for. To add a reward, add a file, and a line in the table below.

`base.py` defines the interface `Task`, and the tasks whose units are pictures. The file of a task is imported only when
a run needs the task.
"""

from ipo_prompts.metrics.registry import Registry

REWARDS = Registry(
    "reward",
    __name__,
    {
        "classification": "base:Classification",
        "retrieval": "retrieval:Retrieval",
    },
    default="classification",
    own="base:own_reward",
)
