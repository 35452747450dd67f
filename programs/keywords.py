"""The keywords of `IPO` and of `ipo.optimize`, for editors and type checkers.

This file is generated from the settings, `SearchSettings` and `JobSettings`; after a change of either, make it anew:

    python -m tools.keywords > programs/keywords.py
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class SearchKeywords(TypedDict, total=False):
    """The settings of a search."""

    steps: int
    """how often new templates are asked for; default 12."""
    candidates_per_step: int
    """templates per step; default 5."""
    initial_template: str
    """where the search starts, and what it is compared with; default 'a photo of a <CLASS>.'."""
    selection: Literal["held-back", "search"]
    """held-back pictures help to choose the winner, or it is the best on the search pictures; default 'held-back'."""
    patience: int | None
    """stop after so many steps without a better template; default 12."""
    scored_templates: int
    """templates that a strategy may look at on the search pictures without proposing them; default 5000."""
    vocabulary: Literal["shipped", "general", "none"]
    """phrases that the strategy compose, the describers clip, clip-greedy and fit and the rows of a grid use: shipped,
    how pictures can look; general, the most frequent words of English; none; default 'shipped'."""
    seed: int
    """of the pictures drawn and of the language model; default 0."""
    offsets: Literal["none", "centring", "prior"]
    """what is added to the score of each class: mean and prior are from pictures without labels, less their mean
    feature, or until all classes are predicted equally often; kept only if it is worth it on held-back pictures;
    default 'none'."""
    names: Literal["given", "search"]
    """search: other names of the classes are tried around the chosen template, from WordNet and from lm where one is
    asked, and taken only if that is worth it on held-back pictures; default 'given'."""
    name_candidates: dict[str, list[str]] | None
    """with names=search: class → more names to try, or a YAML file with that; default None."""
    budget_usd: float | None
    """stop before this many US dollars are spent; default None."""
    budget_tokens: int | None
    """stop before this many tokens are used; default None."""
    max_minutes: float | None
    """stop after this many minutes; default None."""


class RunKeywords(SearchKeywords, total=False):
    """The settings of a run."""

    preset: Literal["default", "paper", "code"]
    """settings to start from: ours, the paper's, or those of the paper's code; default 'default'."""
    task: str | None
    """one sentence on what the pictures are; worded from the classes if unset; default None."""
    class_names: str | dict[Any, Any] | list[Any] | None
    """class → its name in prompts, or a list of that and synonyms; unset: what classes.yaml in the folder of pictures
    says. A list, or a text file with one name a line: the pictures have no labels; default None."""
    labels: Literal["given", "none", "several"]
    """none: the labels that there are are not looked at (docs/no-labels.md); several: a cell of a table names all that
    a picture shows, cat|sofa (docs/several-labels.md); default 'given'."""
    exclude: list[str]
    """classes that are left out, such as '[dog, n02084071]'; default []."""
    background: Literal["white", "as-is"]
    """white: transparent pictures are read on white and turned by their EXIF, as viewers show them; as-is: as stored,
    which published numbers are made with and the paper's data sets are always read with; default 'white'."""
    clip: str
    """embedded, MODEL/TAG (ViT-B-16/openai), hf-hub:…, local-dir:…; default 'embedded'."""
    device: str
    """where the CLIP runs: auto (CUDA or MPS where there is one, else cpu), cpu, cuda, cuda:1, mps; default 'auto'."""
    head: Literal["words", "blend"]
    """what the program decides with; blend: with the labelled pictures of search and selection, too, as far as those
    left out in turn prefer it; the verdict stays that of the words; default 'words'."""
    verdict: Literal["plain", "balanced"]
    """what the sealed test decides by: all pictures alike, or balanced: all classes alike, whatever their sizes;
    default 'plain'."""
    reward: str | dict[str, Any]
    """what is maximised: classification, retrieval, several, fit, or MODULE:CLASS of your own; reward.KEY=VALUE sets it
    up, `ipo optimize reward=NAME --help` lists the keys; default {'name': 'classification'}."""
    strategy: str | dict[str, Any]
    """how new templates are found: compose, history, no-history, shuffled, list, or MODULE:CLASS of your own;
    strategy.KEY=VALUE sets it up, `ipo optimize strategy=NAME --help` lists the keys; default {'name': 'compose'}."""
    lm: str
    """local, local/small|base|large, local/PATH.gguf, a litellm name, replay/RUN, none; default 'local'."""
    lm_api_base: str | None
    """address of an OpenAI-compatible server for lm; default None."""
    lm_context: int | None
    """tokens that lm takes, prompt and reply together: descriptions are shortened to fit; unset: what litellm knows;
    default None."""
    temperature: float
    """of the optimizer LLM; default 1.0."""
    max_tokens: int
    """longest reply of a language model, in tokens; default 1024."""
    describer: str
    """clip (no language model), clip-greedy (phrase by phrase), fit (phrase by phrase, without labels), none, or a
    multimodal litellm name; default 'clip'."""
    describer_api_base: str | None
    """address of an OpenAI-compatible server for the describer; default None."""
    describer_question: Literal["default", "paper", "code"]
    """what a multimodal describer is asked: our question, the paper's, or its code's; default 'default'."""
    described_pictures: int
    """search pictures that a multimodal describer sees at most; default 16."""
    shots: int
    """base pictures per class that the search sees at most; default 4."""
    selection_shots: int
    """base pictures per class that are held back at most until the winner is chosen; 0: none; default 2."""
    search_pictures: int | None
    """score on so many of the base pictures drawn to search with; unset: all; default None."""
    classes: Literal["all", "base-to-new"]
    """base-to-new: search on the first half of the classes, test on both halves; default 'all'."""
    also_fit: list[str]
    """data sets that a template will meet later: it must be short enough for their class names too; default []."""
    opened: int
    """how often the sealed test pictures, or some of them, were opened elsewhere; runs in the same folder and those
    that this one starts from are counted without it; default 0."""
    track: Literal["none", "wandb"]
    """where else the run is logged: Weights & Biases; default 'none'."""
