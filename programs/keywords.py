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
    """the template that the search starts from, and that its winner is compared with; default 'a photo of a
    <CLASS>.'."""
    selection: Literal["held-back", "search"]
    """held-back: choose the winner on search and selection pictures; search: take the best template on the search
    pictures; default 'held-back'."""
    patience: int | None
    """stop after this many steps without a better template; default 12."""
    scored_templates: int
    """templates that a strategy may score on the search pictures without proposing them; default 5000."""
    vocabulary: Literal["shipped", "general", "none"]
    """phrases for the strategy compose, for the describers clip, clip-greedy and fit, and for the rows of a grid.
    shipped: how pictures can look; general: the most frequent words of English; none: no phrases; default 'shipped'."""
    seed: int
    """seed for drawing pictures and for the language model; default 0."""
    offsets: Literal["none", "centring", "prior"]
    """one number for each class, added to its logits. centring: subtract the mean picture feature; prior: shift the
    logits until all classes are predicted equally often. Neither needs labels. They are kept only if held-back pictures
    show a gain; default 'none'."""
    names: Literal["given", "search"]
    """search: try other names of the classes around the chosen template, from WordNet and from lm if there is one; they
    are taken only if held-back pictures show a gain; default 'given'."""
    name_candidates: dict[str, list[str]] | None
    """with names=search: a table, class → more names to try, or a YAML file with this table; default None."""
    budget_usd: float | None
    """stop before this many US dollars are spent; default None."""
    budget_tokens: int | None
    """stop before this many tokens are used; default None."""
    max_minutes: float | None
    """stop after this many minutes; default None."""


class RunKeywords(SearchKeywords, total=False):
    """The settings of a run."""

    preset: Literal["default", "paper", "code"]
    """settings to start from: IPO's own, the paper's, or those of the paper's code; default 'default'."""
    task: str | None
    """one sentence that says what the pictures show; unset: made from the class names; default None."""
    class_names: str | dict[Any, Any] | list[Any] | None
    """a table: class → its name in prompts, or a list of that name and synonyms; unset: as classes.yaml in the folder
    of pictures says. For pictures without labels also a list of all class names, or a text file with one name per line;
    default None."""
    labels: Literal["given", "none", "several"]
    """given: each picture has one label; none: labels are not used (ipo docs no-labels); several: a label cell of a
    table names all classes that a picture shows, cat|sofa (ipo docs several-labels); default 'given'."""
    exclude: list[str]
    """classes to leave out, such as '[dog, n02084071]'; default []."""
    background: Literal["white", "as-is"]
    """white: pictures are read as viewers show them, transparent ones on white, turned by their EXIF; as-is: pictures
    are read as stored, as for published numbers; the paper's data sets are always read as stored; default 'white'."""
    clip: str
    """embedded, MODEL/TAG (ViT-B-16/openai), hf-hub:…, local-dir:…; default 'embedded'."""
    device: str
    """where the CLIP runs: auto (an accelerator where there is one, else cpu), cpu, cuda, cuda:1, mps; default
    'auto'."""
    precision: Literal["fp32", "fp16"]
    """precision of the CLIP: fp32, or fp16 as OpenAI's code on a GPU; several times slower on a CPU; default 'fp32'."""
    head: Literal["words", "blend"]
    """words: the program decides by the template alone; blend: it adds a classifier made from the labelled search and
    selection pictures, with a weight chosen by leave-one-out; the verdict is still about the template alone; default
    'words'."""
    verdict: Literal["plain", "balanced"]
    """plain: each test picture counts the same; balanced: each class counts the same, whatever its size; default
    'plain'."""
    reward: str | dict[str, Any]
    """what is maximised: classification, retrieval, several, fit, or MODULE:CLASS of your own; its settings are
    reward.KEY=VALUE, and `ipo optimize reward=NAME --help` lists them; default {'name': 'classification'}."""
    strategy: str | dict[str, Any]
    """how new templates are found: compose, history, no-history, shuffled, list, or MODULE:CLASS of your own; its
    settings are strategy.KEY=VALUE, and `ipo optimize strategy=NAME --help` lists them; default {'name': 'compose'}."""
    lm: str
    """local, local/small|base|large, local/PATH.gguf, a litellm name, replay/RUN, none; default 'local'."""
    lm_api_base: str | None
    """address of an OpenAI-compatible server for lm; default None."""
    lm_context: int | None
    """context length of lm in tokens, prompt and reply together: descriptions are shortened to fit; unset: as litellm
    knows it; default None."""
    temperature: float
    """sampling temperature of the language models; default 1.0."""
    max_tokens: int
    """longest reply of a language model, in tokens; default 1024."""
    describer: str
    """clip (no language model), clip-greedy (phrase by phrase), fit (phrase by phrase, without labels), none, or a
    multimodal litellm name; default 'clip'."""
    describer_api_base: str | None
    """address of an OpenAI-compatible server for the describer; default None."""
    describer_question: Literal["default", "paper", "code"]
    """what a multimodal describer is asked: IPO's own question, the paper's, or its code's; default 'default'."""
    described_pictures: int
    """most search pictures that a multimodal describer is shown; default 16."""
    shots: int
    """most base pictures per class that the search uses; default 4."""
    selection_shots: int
    """most base pictures per class that are held back to choose the winner with; 0: none; default 2."""
    search_pictures: int | None
    """how many of the base pictures drawn for the search to score on; unset: all; default None."""
    classes: Literal["all", "base-to-new"]
    """base-to-new: search on the first half of the classes, test on both halves; default 'all'."""
    also_fit: list[str]
    """data sets that the template will be used on later; templates must be short enough for their class names, too;
    default []."""
    opened: int
    """how often the sealed test pictures, or some of them, were opened elsewhere; runs in the same folder and runs that
    this one starts from are counted automatically; default 0."""
    track: Literal["none", "wandb"]
    """wandb: log the run in Weights & Biases, too; default 'none'."""
