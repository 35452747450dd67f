"""A search as its journal records it: what was asked, answered, looked at, scored and refused in every step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ipo_prompts.programs.describers.shortening import recorded
from ipo_prompts.programs.record.journal import Event

MOST_LOOKED = 5
"""Templates shown of those that a step only looked at."""


@dataclass(frozen=True)
class Candidate:
    """A scored template; value is a fraction. `better`: better than all before it."""

    template: str
    value: float
    loss: float
    better: bool
    chosen: bool


@dataclass(frozen=True)
class Message:
    """One message of a request: its role and its text."""

    role: str
    text: str


@dataclass(frozen=True)
class Question:
    """One request to a language model and its reply."""

    messages: tuple[Message, ...]
    settings: str
    reply: str
    tokens: int
    cached: bool
    waited: float


@dataclass
class StepRecord:
    """One step, counted from 1.

    Attributes:
        looked: how many templates it looked at without proposing them, and the best of them.
        best: the best so far.
    """

    number: int
    looked: int
    looked_best: list[Candidate]
    best: Candidate
    questions: list[Question] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)


@dataclass
class SearchRecord:
    """A whole search.

    Attributes:
        initial: the template that it started from, on `n` search units.
        taken_over: the templates of an earlier run, which were there before the first step.
        chosen: the template that was selected.
        steps: in order.
        finalists: what was scored on the `finalists_n` selection units: the initial template, then the others, best
            search score first.
        descriptions, undescribed: of the pictures; which could not be described and why.
        shortened: what was done to descriptions that did not fit into a question, in words.
        describing: what the describer was asked.
        unfinished: questions whose answers were never scored, because the search was stopped.
    """

    initial: Candidate
    n: int
    chosen: str
    taken_over: list[Candidate] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    finalists: list[Candidate] = field(default_factory=list)
    finalists_n: int = 0
    descriptions: list[str] = field(default_factory=list)
    undescribed: list[tuple[str, str]] = field(default_factory=list)
    shortened: str = ""
    describing: list[Question] = field(default_factory=list)
    unfinished: list[Question] = field(default_factory=list)

    @property
    def start(self) -> Candidate:
        """The best template before the first step."""
        return max([self.initial, *self.taken_over], key=lambda one: (one.value, -one.loss))


def follow(events: Sequence[Event], chosen: str) -> SearchRecord:
    """Follow the events of one run whose search has ended, oldest first; `chosen` is the template that was selected.

    Raises:
        KeyError: an event lacks what it should hold.
    """
    searched = {event["step"]: event for event in events if event["type"] == "scores" and event["kind"] == "search"}
    looked: dict[int, dict[str, Candidate]] = {}
    for event in events:
        if event["type"] == "looked":
            of_step = looked.setdefault(event["step"], {})
            for template, value, loss in event["rows"]:
                of_step[template] = Candidate(template, value, loss, False, False)
    first = searched[-1]["scores"][0]
    search = SearchRecord(_candidate(first, False, chosen), first["n"], chosen)
    best = search.initial
    for event in events:
        if event["type"] == "scores" and event["kind"] == "earlier" and not search.taken_over:
            search.taken_over = [_candidate(score, False, chosen) for score in event["scores"]]
            best = search.start
    search.shortened = str(recorded(events) or "")
    questions: list[Question] = []
    errors: list[str] = []
    for event in events:
        kind = event["type"]
        if kind == "lm" and event["role"] == "describer":
            search.describing.append(_question(event))
        elif kind == "lm":
            questions.append(_question(event))
        elif kind == "lm_error":
            errors.append(event["error"])
        elif kind == "descriptions":
            search.descriptions = event["descriptions"]
            search.undescribed = [(name, reason) for name, reason in event["failed"]]
        elif kind == "scores" and event["kind"] == "selection":
            search.finalists = [_candidate(score, False, chosen) for score in event["scores"]]
            search.finalists_n = event["scores"][0]["n"]
        elif kind == "scores" and event["step"] >= 0 and event is searched[event["step"]]:
            # The last of its step: one that a limit stopped was scored before, too.
            number = event["step"]
            seen = list(looked.get(number, {}).values())
            best_seen = sorted(seen, key=lambda one: (-one.value, one.loss))[:MOST_LOOKED]
            step = StepRecord(number + 1, len(seen), best_seen, best, questions, errors, event["rejected"])
            questions, errors = [], []
            for score in event["scores"]:
                better = (score["accuracy"], -score["loss"]) > (best.value, -best.loss)
                step.candidates.append(_candidate(score, better, chosen))
                best = step.candidates[-1] if better else best
            step.best = best
            search.steps.append(step)
    search.unfinished = questions
    return search


def _candidate(score: dict[str, Any], better: bool, chosen: str) -> Candidate:
    return Candidate(score["template"], score["accuracy"], score["loss"], better, score["template"] == chosen)


def _question(event: Event) -> Question:
    request = event["request"]
    messages = [Message("system", _text(request["system"]))] if request.get("system") else []
    messages += [Message(message["role"], _text(message["parts"])) for message in request["messages"]]
    # Grammars and word biases are long and the same every time; the journal has them.
    plain = {k: v for k, v in (request.get("config") or {}).items() if isinstance(v, (int, float, str))}
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in plain.items())
    reply, tokens = _text(event["reply"]["message"]["parts"]), event["tokens_in"] + event["tokens_out"]
    return Question(tuple(messages), settings, reply, tokens, event["cached"], event["waited"])


def _text(parts: Any) -> str:
    """Format what a message holds; a picture is in the journal as its digest only."""
    if isinstance(parts, str):
        return parts
    words = []
    for part in parts:
        if part.get("type") == "text":
            words.append(part["text"])
        elif part.get("type") == "image":
            words.append(f"[a picture, SHA-256 of its base64 form {part.get('sha256_of_base64', 'unknown')}]")
        else:
            words.append(json.dumps(part, ensure_ascii=False))
    return "\n".join(words)
