"""The strategies of a search, by name. `base.py` says what a strategy is; those that differ in a function share a file.

`small_model.py` is how `history` asks a small model. `window.py` says what a language model takes of a question.

A new strategy needs its file and its line below. Its file is imported when the strategy is first used.
"""

from ipo_prompts.metrics.registry import Registry

STRATEGIES = Registry(
    "strategy",
    __name__,
    {
        "compose": "compose:Compose",
        "history": "history:HistoryStrategy",
        "no-history": "history:NoHistory",
        "shuffled": "history:Shuffled",
        "list": "base:GivenTemplates",
    },
    default="compose",
    own="base:OwnStrategy",
)
