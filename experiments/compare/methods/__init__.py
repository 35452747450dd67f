"""Methods under test: IPO's variants, its controls and the baselines that every claim is held against.

All have one interface: `fit` sees a few pictures, what it returns classifies any classes. See `base.py`.

The methods that ask a language model have the same budget: as many steps, candidates a step and retries as the lesson
says, and no early stop. They score equally many templates unless a model runs out of new ones; what they used of the
retries depends on the replies, and each table shows the calls. `ipo-paper` and `ipo-code` differ from `ipo-default` in
what the published settings say of history, pinning, floor, requests, descriptions and selection. Their published steps
and candidates are the grid's to set, for all methods or for their rows; where it does not, the table says so.

What tries templates without a language model (`best-of-80`, `bank`, `random-pairs`) has no proposals: it looks at
templates, which each table counts apart. `random-pairs` looks at as many as a language model is asked for.

Labelled pictures are the other budget, which each table shows as well. What chooses nothing on selection pictures
(`ipo-paper`, `ipo-code`, `coop`) sees none of them, as published; `coop-same-labels` is trained on them.
"""

from ipo_prompts.experiments.compare.methods.base import Absent, Budget, Fitted, Lesson, Method
from ipo_prompts.experiments.compare.methods.coop import CoOp
from ipo_prompts.experiments.compare.methods.given import (
    MANY,
    BestOf,
    Fixed,
    Waffle,
    hand_written,
    random_pairs,
    single_phrases,
)
from ipo_prompts.experiments.compare.methods.pictures import Centred, FromPictures, LinearProbe
from ipo_prompts.experiments.compare.methods.search import LanguageModelSearch
from ipo_prompts.metrics.template import ANCHOR, SLOT, imagenet_templates

METHODS: dict[str, Method] = {
    "anchor": Fixed("the anchor", lambda lesson: [ANCHOR]),
    "class-name": Fixed("the bare class name", lambda lesson: [SLOT], is_opponent=False),
    # To compare wordings, as when words are taken out one by one.
    "given": Fixed("the given template", lambda lesson: [lesson.config.initial_template], is_opponent=False),
    "hand-written": Fixed("the hand-written template", hand_written),
    "ensemble-80": Fixed("the ensemble of 80 templates", lambda lesson: imagenet_templates()),
    "best-of-80": BestOf("the best of the 80 templates", lambda lesson: imagenet_templates()),
    "bank": BestOf("the best phrase of the describer's bank", single_phrases),
    "random-pairs": BestOf(
        "the best of as many random pairs of phrases",
        random_pairs,
        count=lambda config: config.steps * config.candidates_per_step,
        shows="the search is better than as few phrases joined at random",
        remark="two phrases of the describer's bank a template, as many templates as the language model is asked for",
    ),
    "random-pairs-many": BestOf(
        f"the best of {MANY:,} random pairs of phrases",
        random_pairs,
        count=lambda config: MANY,
        remark="two phrases of the describer's bank a template, a fixed number of templates whatever others may try",
    ),
    "waffle": Waffle(),
    "centred": Centred(),
    "class-mean": FromPictures("the nearest class mean", "class mean"),
    "gda": FromPictures("GDA", "discriminant"),
    "gda-text": FromPictures("GDA with text", "discriminant", text=True),
    "lp++": LinearProbe(),
    "coop": CoOp(),
    "coop-same-labels": CoOp(same_labels=True),
    "phrases": LanguageModelSearch(
        "compositions of the bank's phrases", "the language model's words help", strategy="compose", lm="none"
    ),
    "no-history": LanguageModelSearch(
        "proposals without history", "trying parts together beats asking alone", strategy="no-history"
    ),
    "shuffled": LanguageModelSearch("the history with shuffled scores", strategy="shuffled"),
    "history": LanguageModelSearch(
        "proposals from a history of scores", "trying parts together beats a history of scores", strategy="history"
    ),
    "ipo-paper": LanguageModelSearch("IPO with the paper's settings", published="paper"),
    "ipo-code": LanguageModelSearch("IPO with the settings of the paper's code", published="code"),
    "ipo-default": LanguageModelSearch("IPO"),
}
"""Name in a grid → the method, in the order of a table. A method is added by its file and its line here."""

SUBJECT = "ipo-default"
"""The method that verdicts are about."""

__all__ = ["METHODS", "SUBJECT", "Absent", "Budget", "Fitted", "LanguageModelSearch", "Lesson", "Method"]
