"""Methods under test: IPO's variants, its controls, and the baselines that every claim is compared with.

All methods have one interface: `fit` sees a few pictures and returns a classifier for any classes. See `base.py`. To
add a method, write a file and add a line below. The line names an instance.
A method is imported when it is chosen.

The methods that ask a language model have the same budget: the lesson sets their steps, candidates per step and
retries, and they do not stop early. They score equally many templates unless a model runs out of new templates. The
number of retries that they use depends on the replies; each table shows the calls. `ipo-paper` and `ipo-code` differ
from `ipo-default` in the published settings of history, pinning, floor, requests, descriptions and selection. They do
not have their published steps and candidates by themselves: a grid can set these, for all methods or for these rows.
If a grid does not, the table says so.

Methods that try templates without a language model (`best-of-80`, `vocabulary`) propose no templates. Their templates
are scored only, and each table counts these separately.

Labelled pictures are the other budget, and each table shows their number, too. Methods that choose nothing on selection
pictures (`ipo-paper`, `ipo-code`) see no selection pictures, as published.
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
        "class-mean": "pictures:CLASS_MEAN",
        "gda": "pictures:GDA",
        "gda-text": "pictures:GDA_TEXT",
        "phrases": "search:PHRASES",
        "no-history": "search:NO_HISTORY",
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
