"""The keywords of `IPO` and of `ipo.optimize`, for editors and type checkers.

This file is generated from the settings, `SearchSettings` and `JobSettings`; after a change of either, make it anew:

    python -m tools.keywords > programs/keywords.py
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class SearchKeywords(TypedDict, total=False):
    """The settings of a search."""

    steps: int
    """the number of steps; each asks for new templates; default 12."""
    candidates_per_step: int
    """how many templates a step proposes; default 5."""
    initial_template: str
    """the template that the search starts from; the winner is compared with it; default 'a photo of a <CLASS>.'."""
    selection: Literal["held-back", "search"]
    """held-back: choose the winner on search and selection pictures; search: take the best template on the search
    pictures; default 'held-back'."""
    patience: int | None
    """stop after this many steps without a better template; default 12."""
    scored_templates: int
    """how many templates a strategy may score without proposing them; default 5000."""
    vocabulary: Literal["shipped", "general", "none"]
    """phrases for templates and descriptions. shipped: how pictures can look; general: the most frequent words of
    English; none: no phrases; default 'shipped'."""
    seed: int
    """seed for drawing pictures and for the language model; default 0."""
    offsets: Literal["none", "centring", "prior"]
    """one number for each class, added to its logits. centring: subtract the mean picture feature; prior: shift the
    logits until all classes are predicted equally often. Offsets are kept only if labelled held-back pictures show a
    gain; default 'none'."""
    names: Literal["given", "search"]
    """search: try other names of the classes in the chosen template, from WordNet and from lm if there is one. New
    names are taken only if held-back pictures show a gain; default 'given'."""
    name_candidates: dict[str, list[str]] | None
    """for names=search: a table, class → more names to try, or a YAML file with this table; default None."""
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
    """a table: class → its name in prompts, or a list of synonyms; unset: classes.yaml in the folder of pictures. For
    pictures without labels, a list of all class names, or a text file with one name a line; default None."""
    labels: Literal["given", "none", "several"]
    """given: each picture has one label; none: labels are not used (ipo docs no-labels); several: a table lists all
    classes that a picture shows, cat|sofa (ipo docs several-labels); default 'given'."""
    exclude: list[str]
    """classes to leave out, such as '[dog, n02084071]'; default []."""
    background: Literal["white", "as-is"]
    """white: pictures are read as viewers show them, turned by their EXIF and with white behind transparent parts;
    as-is: pictures are read as stored. The paper's data sets are always read as stored; default 'white'."""
    clip: str
    """embedded, MODEL/TAG (ViT-B-16/openai), hf-hub:…, local-dir:…; default 'embedded'."""
    device: str
    """where the CLIP runs: cpu, cuda, cuda:1, mps, or auto (an accelerator if there is one); default 'auto'."""
    precision: Literal["fp32", "fp16"]
    """precision of the CLIP. OpenAI's code uses fp16 on a GPU; on a CPU fp16 is several times slower; default
    'fp32'."""
    head: Literal["words", "blend"]
    """words: the program classifies with the template alone; blend: also with the labelled search and selection
    pictures, whose weight is chosen by leave-one-out. The verdict is about the template alone; default 'words'."""
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
    """context length of lm in tokens, for prompt and reply together; descriptions are shortened to fit. Unset: as
    litellm knows; default None."""
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
    """the question to a multimodal describer: IPO's own, the paper's, or that of the paper's code; default
    'default'."""
    described_pictures: int
    """how many search pictures a multimodal describer sees at most; default 16."""
    shots: int
    """how many pictures of each class the search uses at most; default 4."""
    selection_shots: int
    """how many pictures of each class are held back to choose the winner, at most; 0: none; default 2."""
    search_pictures: int | None
    """how many of the pictures drawn for the search are used for scores; unset: all; default None."""
    classes: Literal["all", "base-to-new"]
    """base-to-new: search on the first half of the classes, test on both halves; default 'all'."""
    also_fit: list[str]
    """data sets for which you will use the template later; with their class names, too, each template must be short
    enough; default []."""
    opened: int
    """how often other tests used these test pictures, or some of them. Runs in the same folder, and the run that this
    one starts from, are counted automatically; default 0."""
    track: Literal["none", "wandb"]
    """wandb: log the run in Weights & Biases; default 'none'."""
