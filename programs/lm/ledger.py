"""The questions that a run asks language models, in a file, and the limits that hold questions back.

The file `replies.jsonl` gets two lines for each question: before it is sent, the question with the most that it can
cost; and before it is used, the reply. A resumed run is answered from this file. If a kill left a part of a line, that
part is cut off.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ipo_prompts.metrics.clock import BudgetReached, Clock, Wait
from ipo_prompts.metrics.errors import InputError, causes
from ipo_prompts.programs.journal import Record, read_lines
from ipo_prompts.programs.redaction import redacted

FILE_NAME = "replies.jsonl"
MOST_BYTES = 1 << 30
"""The most bytes of the file that are read."""
FIX = "remove the line and resume: its reply is then paid for again"
TOKENS_PER_IMAGE = 8_500
"""A bound on the tokens of one 512-pixel image. OpenAI's `gpt-4o-mini` charges the most: 2,833 + 5,667 tokens for one
tile, according to OpenAI's vision guide. Other models charge 85 to about 1,300 tokens."""


class Question(BaseModel):
    """One question to a language model, and what became of it.

    Attributes:
        id: the number of the question in its file, from 0.
        key: a digest of the whole request and the role. Equal questions have equal keys.
        role: `optimizer` or `describer`.
        model: the name of the language model.
        step: the step in which it was asked, from 0.
        messages: the messages of the request, each as its role and its text.
        settings: the settings of the request that are plain values.
        state: `asked`; `answered`; `lost`, if the answer may be billed and did not come; or `refused`, if the server
            made no answer.
        tokens_in, tokens_out, usd: what the answer cost. Before an answer, the most that it can cost. `usd` is in US
            dollars, and None if the price is not known.
        text: the text of the reply.
        finish: why the reply ended: `stop`, or `length` at its limit of tokens.
        waited: how long the reply took, in seconds.
        error: why there is no reply.
    """

    model_config = ConfigDict(frozen=True)

    id: int = -1
    key: str
    role: str
    model: str
    step: int = 0
    messages: tuple[tuple[str, str], ...] = ()
    settings: dict[str, int | float | str] = {}
    state: Literal["asked", "answered", "lost", "refused"] = "asked"
    tokens_in: int = Field(ge=0)
    tokens_out: int = Field(ge=0)
    usd: float | None = Field(ge=0)
    text: str = ""
    finish: Literal["stop", "length", "tool_call", "content_filter", "error"] = "stop"
    waited: float = Field(0.0, ge=0)
    error: str = ""


def read_questions(folder: Path) -> list[Question]:
    """Return the questions of a run in the order in which they were asked; [] if there is no file.

    Raises:
        InputError: the file is a link, or damaged.
    """
    found: dict[int, Question] = {}

    def take(line: bytes) -> None:
        content = json.loads(line)
        before = found[content["id"]].model_dump() if content["id"] in found else {}
        found[content["id"]] = Question.model_validate(before | content)

    read_lines(folder / FILE_NAME, MOST_BYTES, take, lambda number: FIX)
    return list(found.values())


def explain(error: BaseException) -> BaseException:
    """Return the error to show: our own error if DSPy has wrapped one, else the given error."""
    return next((cause for cause in causes(error) if isinstance(cause, (BudgetReached, InputError))), error)


def total_usd(prices: Iterable[float | None]) -> float | None:
    """Return the sum of prices; None if any of the prices is None, which means not known."""
    known = list(prices)
    return None if None in known else sum(price or 0.0 for price in known)


@dataclass
class Usage:
    """The calls, tokens, dollars and seconds that one role (optimizer or describer) has used.

    A question whose answer was lost counts with the most that it can cost. One that is under way, or was when the run
    was killed, counts for the limits only.

    Attributes:
        name: the name of the language model.
        calls: the number of replies received.
        tokens_in, tokens_out: the tokens of questions and of replies.
        usd: the cost in US dollars; None if the price of any call is not known.
        seconds: the time spent waiting for replies.
    """

    name: str
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0

    def add(self, question: Question) -> None:
        """Add a question."""
        self.calls += question.state == "answered"
        self.tokens_in += question.tokens_in
        self.tokens_out += question.tokens_out
        self.usd = total_usd([self.usd, question.usd])
        self.seconds += question.waited


class Ledger:
    """The questions of a run, and its limits.

    Args:
        folder: the run directory, whose file is read and continued. None: nothing is written, but the limits hold.
        limit_usd, limit_tokens: the limits over all roles and sessions, in US dollars, and in tokens in and out. None
            means no limit.
        clock: the clock of the run, with its time limit.

    Attributes:
        models: the name of the language model of each role that is connected.
        step: the step in which questions are asked now.
        reached: the error that was raised when a question could have passed a limit; None before that. The error is
            stored because the program that asked the question may not pass it on.
        on_wait: a function that is called with a `Wait` twice a second while the run waits for a language model, and
            with None when the wait is over. Several threads may call it.

    Raises:
        InputError: see `read_questions`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        limit_usd: float | None = None,
        limit_tokens: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.limit_usd = limit_usd
        self.limit_tokens = limit_tokens
        self.clock = clock or Clock()
        self.models: dict[str, str] = {}
        self.step = 0
        self.reached: BudgetReached | None = None
        self.on_wait: Callable[[Wait | None], None] = lambda wait: None
        self._record = folder and Record(folder / FILE_NAME)
        self._questions = read_questions(folder) if folder else []
        self._known: defaultdict[str, deque[Question]] = defaultdict(deque)
        self._lock = threading.Lock()
        for question in self._questions:
            if question.state == "answered":
                self._known[question.key].append(question)

    @property
    def roles(self) -> dict[str, Usage]:
        """What each role has used, earlier sessions included."""
        found = {role: Usage(model) for role, model in self.models.items()}
        for question in list(self._questions):
            if question.state != "asked":
                found.setdefault(question.role, Usage(question.model)).add(question)
        return found

    @property
    def usd(self) -> float | None:
        """US dollars spent so far; None if a price is unknown."""
        return total_usd(usage.usd for usage in self.roles.values())

    @property
    def tokens(self) -> int:
        """Tokens in and out used so far."""
        return sum(usage.tokens_in + usage.tokens_out for usage in self.roles.values())

    def replay(self, questions: Iterable[Question]) -> None:
        """Let recorded questions of another run answer equal questions, after those that this run has recorded."""
        ours = {key: len(known) for key, known in self._known.items()}
        for question in questions:
            if question.state != "answered":
                continue
            ours[question.key] = ours.get(question.key, 0) - 1
            if ours[question.key] < 0:
                self._known[question.key].append(question.model_copy(update={"id": -1}))

    def take(self, asked: Question) -> Question:
        """Return the recorded answer to a question. If there is none, record that it is asked, and return it.

        Equal questions get their answers in the order in which they were recorded.

        Raises:
            BudgetReached: the question could pass a limit.
            InputError: the question cannot be written.
        """
        with self._lock:
            known = self._known[asked.key]
            answered = known.popleft() if known else None
            if answered and answered.id >= 0:
                return answered
            if not answered:
                self._check(asked)
            new = {"id": len(self._questions), "step": self.step}
            question = (answered or asked).model_copy(update=new)
            self._questions.append(self._written(question, question.model_dump()))
            return self._questions[-1]

    def settle(self, question: Question, **found: Any) -> Question:
        """Record what became of a question, and return it as it was recorded.

        Raises:
            InputError: it cannot be written.
        """
        with self._lock:
            self._questions[question.id] = self._written(question, found)
            return self._questions[question.id]

    def _written(self, question: Question, found: dict[str, Any]) -> Question:
        """Write values of a question without secrets; return the question with these values once they are on disk."""
        found = redacted(found)
        if self._record:
            self._record.append({"id": question.id, **found})
        return question.model_copy(update=found)

    def _check(self, asked: Question) -> None:
        """Raise an error if a question could pass a limit.

        Raises:
            BudgetReached: a limit could be passed; the message says which.
        """
        self.clock.check_time()
        used = sum(question.tokens_in + question.tokens_out for question in self._questions)
        spent = total_usd(question.usd for question in self._questions) or 0.0
        tokens = asked.tokens_in + asked.tokens_out
        usd = asked.usd or 0.0
        if self.limit_tokens is not None and used + tokens > self.limit_tokens:
            said = f"the next call could pass the limit of {self.limit_tokens:,} tokens"
            self._stop(f"{said} ({used:,} used, and it may take {tokens:,})", "budget_tokens", used + tokens)
        if self.limit_usd is not None and spent + usd > self.limit_usd:
            said = f"the next call could pass the limit of ${self.limit_usd:g}"
            self._stop(f"{said} (${spent:.4f} spent, and it may cost ${usd:.4f})", "budget_usd", spent + usd)

    def _stop(self, said: str, limit: Literal["budget_usd", "budget_tokens"], needed: float) -> None:
        self.reached = BudgetReached(said, limit, needed)
        raise self.reached
