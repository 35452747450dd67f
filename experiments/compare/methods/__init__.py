"""Methods under test: IPO's variants, its controls and the baselines that every claim is held against.

All have one interface: `fit` sees a few pictures, what it returns classifies any classes. See `base.py`. A new method
is its file and its line below: a class, or an instance of one that has arguments. Nothing is imported before it is
chosen.

The methods that ask a language model have the same budget: as many steps, candidates a step and retries as the lesson
says, and no early stop. They score equally many templates unless a model runs out of new ones; what they used of the
retries depends on the replies, and each table shows the calls. `ipo-paper` and `ipo-code` differ from `ipo-default` in
what the published settings say of history, pinning, floor, requests, descriptions and selection. Their published steps
and candidates are the grid's to set, for all methods or for their rows; where it does not, the table says so.

What tries templates without a language model (`best-of-80`, `vocabulary`, `random-pairs`) has no proposals: it looks at
templates, which each table counts apart. `random-pairs` looks at as many as a language model is asked for.

Labelled pictures are the other budget, which each table shows as well. What chooses nothing on selection pictures
(`ipo-paper`, `ipo-code`, `coop`) sees none of them, as published; `coop-same-labels` is trained on them.
"""

from ipo_prompts.metrics.registry import Registry

SUBJECT = "ipo-default"
"""The method that verdicts are about."""

METHODS = Registry(
    "method",
    __name__,
    {
        "baseline": "given:THE_BASELINE",
        "class-name": "given:CLASS_NAME",
        "given": "given:GIVEN",
        "hand-written": "given:HAND_WRITTEN",
        "ensemble-80": "given:ENSEMBLE_80",
        "best-of-80": "given:BEST_OF_80",
        "vocabulary": "given:VOCABULARY",
        "random-pairs": "given:RANDOM_PAIRS",
        "random-pairs-many": "given:RANDOM_PAIRS_MANY",
        "waffle": "given:Waffle",
        "centring": "pictures:CentredBaseline",
        "class-mean": "pictures:CLASS_MEAN",
        "gda": "pictures:GDA",
        "gda-text": "pictures:GDA_TEXT",
        "coop": "coop:CoOp",
        "coop-same-labels": "coop:SAME_LABELS",
        "phrases": "search:PHRASES",
        "no-history": "search:NO_HISTORY",
        "shuffled": "search:SHUFFLED",
        "history": "search:HISTORY",
        "ipo-paper": "search:IPO_PAPER",
        "ipo-code": "search:IPO_CODE",
        "ipo-default": "search:IPO_DEFAULT",
    },
    default=SUBJECT,
    own="base:own_method",
    word="methods",
)
"""Name in a grid → the method, in the order of a table."""
