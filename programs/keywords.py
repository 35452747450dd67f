"""The keywords of `IPO` and of `ipo.optimize`, for editors and type checkers.

This file is generated from the settings, `SearchSettings` and `JobSettings`; after a change of either, make it anew:

    python -m tools.keywords > programs/keywords.py
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class SearchKeywords(TypedDict, total=False):
    """The settings of a search."""

    steps: int
    """the number of steps; each step proposes new templates; default 12."""
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
    """seed of the draw of pictures and of the language model; default 0."""
    offsets: Literal["none", "centring", "prior"]
    """one number for each class, added to its logits. centring: subtract the mean picture feature; prior: shift the
    logits until all classes are predicted equally often. Offsets are kept only if selection pictures show a gain;
    default 'none'."""
    names: Literal["given", "search"]
    """search: try other class names, from WordNet and lm, in the chosen template. New names are taken only if pictures
    that did not choose them show a gain; default 'given'."""
    name_candidates: dict[str, list[str]] | None
    """for names=search: more names to try for each class, as a table or a YAML file; default None."""
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
    """one sentence that says what the pictures show; unset: IPO makes it from the class names; default None."""
    class_names: str | dict[Any, Any] | list[Any] | None
    """a table of classes, each with its name in prompts or a list of synonyms; unset: classes.yaml in the folder of
    pictures. For pictures without labels: a list of all class names, or a text file with one name a line; default
    None."""
    labels: Literal["given", "none"]
    """given: each picture has one label; none: labels are not used (ipo docs no-labels); default 'given'."""
    exclude: list[str]
    """classes to leave out, such as '[dog, n02084071]'; default []."""
    background: Literal["white", "as-is"]
    """white: pictures are turned as their EXIF says, and transparent parts become white; as-is: pictures are read as
    stored. The paper's data sets are always read as stored; default 'white'."""
    clip: str
    """embedded, MODEL/TAG (ViT-B-16/openai), hf-hub:…, local-dir:…; default 'embedded'."""
    device: str
    """where the CLIP runs: cpu, cuda, cuda:1, mps or auto; default 'auto'."""
    precision: Literal["fp32", "fp16"]
    """precision of the CLIP. OpenAI's code uses fp16 on a GPU. On a CPU fp16 is several times slower; default
    'fp32'."""
    head: Literal["words", "blend"]
    """words: the program classifies with the template; blend: with the template and the labelled search and selection
    pictures. Leave-one-out chooses the weight of the pictures. The verdict is about the template alone; default
    'words'."""
    verdict: Literal["plain", "balanced"]
    """plain: each test picture counts the same; balanced: each class counts the same, whatever its size; default
    'plain'."""
    reward: str | dict[str, Any]
    """what is maximised: classification, retrieval, fit, or MODULE:CLASS of your own. `ipo optimize reward=NAME --help`
    lists its settings, reward.KEY=VALUE; default {'name': 'classification'}."""
    strategy: str | dict[str, Any]
    """how new templates are found: compose, history, no-history, list, or MODULE:CLASS of your own. `ipo optimize
    strategy=NAME --help` lists its settings, strategy.KEY=VALUE; default {'name': 'compose'}."""
    lm: str
    """local, local/small|base|large, local/PATH.gguf, a litellm name, replay/RUN, none; default 'local'."""
    lm_api_base: str | None
    """address of an OpenAI-compatible server for lm; default None."""
    lm_context: int | None
    """the most tokens of a question to lm plus its reply; descriptions are shortened to fit. Unset: what litellm knows;
    default None."""
    temperature: float
    """sampling temperature of the language models; default 1.0."""
    max_tokens: int
    """longest reply of a language model, in tokens; default 1024."""
    describer: str
    """without a language model: clip, clip-greedy (phrase by phrase), fit (without labels), none; with one: a
    multimodal litellm name; default 'clip'."""
    describer_api_base: str | None
    """address of an OpenAI-compatible server for the describer; default None."""
    describer_question: Literal["default", "paper", "code"]
    """the question to a multimodal describer: IPO's own, the paper's, or that of the paper's code; default
    'default'."""
    described_pictures: int
    """how many search pictures a multimodal describer sees at most; default 16."""
    shots: int
    """how many search pictures each class has at most; default 4."""
    selection_shots: int
    """how many selection pictures each class has at most; 0: none; default 2."""
    search_pictures: int | None
    """the number of search pictures on which templates are scored; unset: all; default None."""
    classes: Literal["all", "base-to-new"]
    """base-to-new: search on the first half of the classes, test on both halves; default 'all'."""
    opened: int
    """how many tests elsewhere used these test pictures or some of them. IPO itself counts runs in the same folder;
    default 0."""
    track: Literal["none", "wandb"]
    """wandb: log the run in Weights & Biases; default 'none'."""
