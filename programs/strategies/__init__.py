"""The strategies of a search, by name. `base.py` defines what a strategy is.

Strategies that differ in one function share a file.

A new strategy needs a file, and a line in the table below. Its file is imported when the strategy is first used.
"""

from ipo_prompts.metrics.registry import Registry

STRATEGIES = Registry(
    "strategy",
    __name__,
    {
        "compose": "compose:Compose",
        "history": "writer:Writer",
        "no-history": "writer:NoHistory",
        "list": "base:GivenTemplates",
    },
    default="compose",
    own="base:own_strategy",
)
