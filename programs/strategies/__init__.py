"""The strategies of a search, by name. `base.py` says what a strategy is; those that differ in a function share a file.

`asking.py`, `small_model.py` and `running_optimizers.py` are parts of strategies; `window.py` says what of a strategy's
question a language model takes.

A new strategy needs its file and its line below. Its file is imported when the strategy is first used.
"""

from ipo_prompts.metrics.registry import Registry

STRATEGIES = Registry(
    "strategy",
    __name__,
    {
        "compose": "compose:Compose",
        "history": "history:HistoryStrategy",
        "gepa": "dspy_optimizers:Gepa",
        "copro": "dspy_optimizers:Copro",
        "no-history": "controls:NoHistory",
        "shuffled": "controls:Shuffled",
        "list": "base:GivenTemplates",
    },
    default="compose",
    own="base:OwnStrategy",
)
