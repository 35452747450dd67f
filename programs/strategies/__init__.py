"""The strategies of a search: how new templates are found. One file each; a new one is its file and its line below.

What a strategy is: `base.py`. Nothing is imported before it is asked for.
"""

from ipo.metrics.registry import Registry

STRATEGIES = Registry(
    "strategy",
    __name__,
    {
        "history": "history:HistoryStrategy",
        "no-history": "no_history:NoHistory",
        "shuffled": "shuffled:Shuffled",
        "list": "given:GivenTemplates",
    },
    default="history",
)
