"""The target `hub`: the folder of `head` with the program and a model card, and its upload to the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.export.head import USE, HeadFiles
from ipo_prompts.experiments.export.hf import TASK
from ipo_prompts.experiments.export.target import README, Reference, usage
from ipo_prompts.experiments.run.result import PROGRAM, RESULT, RunResult, load_result
from ipo_prompts.metrics.errors import InputError, reason
from ipo_prompts.programs.classifier import TemplateClassifier


class HubFolder(HeadFiles):
    """The folder of `head` with `program.json` and a model card as its README.

    Attributes:
        run: the directory of the run that made the program; the card shows its verdict and the score of the program on
            the sealed test. None: there is no result.
        repository: the repository on the hub that the card names, USER/NAME.
    """

    def __init__(self, run: Path | None = None, repository: str | None = None) -> None:
        """Store the run directory; store None if the directory has no result."""
        self.run = run if run is not None and (run / RESULT).exists() else None
        self.repository = repository or "USER/NAME"

    def refusal(self, program: TemplateClassifier) -> str | None:
        """Return a reason if the CLIP is in a folder of this machine, from which others cannot load it; else None."""
        if program.clip.name.startswith("local-dir:"):
            return "its CLIP is in a folder of this machine; push that to the hub, and optimise with --clip hf-hub:…"
        return None

    def write(self, program: TemplateClassifier, place: Path) -> None:
        """Write the folder."""
        super().write(program, place)
        program.save(str(place / PROGRAM))
        (place / README).write_text(self._card(program), encoding="utf-8")

    def check(self, reference: Reference, place: Path) -> str:
        """Load the program again, and check the head as `head` does."""
        TemplateClassifier.from_file(place / PROGRAM, reference.program.clip)
        return super().check(reference, place)

    def _card(self, program: TemplateClassifier) -> str:
        """Return the text of the model card.

        Texts that others wrote, such as class names, are JSON strings in a code block, where they cannot act as markup.
        """
        result = load_result(self.run) if self.run else None
        about = {
            "verdict": result.verdict if result else "No run is known that tested it.",
            "templates": [template for template, _ in program.templates],
            "classes": list(program.labels),
            "clip": program.clip.name,
            "fingerprint": program.clip.fingerprint,
        }
        sure = (
            "No temperature was fitted: probabilities rank the labels, but are not calibrated."
            if program.temperature == 1
            else "Probabilities were calibrated on pictures that were held back or left out."
        )
        proposed = program.sureness.proposed if program.sureness else None
        above = f" --above {proposed.above:g}" if proposed else ""
        lines = json.dumps(about, indent=2, ensure_ascii=True).replace("`", "\\u0060")
        return (
            f"---\n{_metadata(result, self.repository)}\n---\n\n"
            f"# A classifier in words for {len(program.labels)} classes\n\n```json\n{lines}\n```\n\n"
            f"## With IPO\n\n```python\n{_USE_IPO.format(repository=self.repository)}```\n\n"
            f"`ipo predict hf://{self.repository}{above} PICTURES` labels a folder.\n\n"
            f"## Without IPO\n\n{usage(program, USE)}"
            "\n## Limits\n\n"
            "- The verdict holds for pictures like those of the run, and for the template alone.\n"
            "- It names one of its classes whatever a picture shows; `--reject` marks some pictures of other things.\n"
            f"- {sure}\n- It is for this CLIP alone, with these weights and this picture transform.\n"
        )


_USE_IPO = """\
from ipo_prompts import TemplateClassifier

program = TemplateClassifier.from_file("hf://{repository}")
answer = program(image="picture.jpg")
print(answer.label, answer.scores[answer.label])
"""


def _metadata(result: RunResult | None, repository: str) -> str:
    """Return the metadata of the model card, YAML; with the score on the sealed test if there is one.

    The score is that of the program: with labelled pictures beside the words if the program has them.
    """
    from huggingface_hub import EvalResult, ModelCardData

    tested: dict[str, Any] = {}
    if result and (test := result.scores.get("test")):
        score = result.head.both if result.head and result.head.kept else test.optimised
        low, high = score.ci95
        found = EvalResult(
            task_type=TASK,
            dataset_type=result.data.name.removeprefix("hf:"),
            dataset_name=result.data.name,
            dataset_split="test",
            metric_type=result.reward.measure.replace(" ", "_"),
            metric_name=f"{result.reward.measure}, n = {score.n:,}, 95 % interval [{low:.4f}, {high:.4f}]",
            metric_value=score.value,
            metric_args={"n": score.n, "ci95": list(score.ci95)},
        )
        tested = {"model_name": repository.rpartition("/")[2], "eval_results": [found]}
    tags = ["clip", "open_clip", "prompt-optimization"]
    metadata: str = ModelCardData(library_name="ipo-prompts", pipeline_tag=TASK, tags=tags, **tested).to_yaml()
    return metadata


def check_push(repository: str) -> None:
    """Check what an upload needs. Nothing is sent.

    Raises:
        InputError: the name of the repository is not USER/NAME, or this machine has no token for the hub.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository if repository.count("/") == 1 else "")
    except HFValidationError as error:
        raise InputError(
            f"--push takes USER/NAME, a repository on the Hugging Face hub, not {repository!r}."
        ) from error
    if not get_token():
        raise InputError(
            "--push takes a token of the Hugging Face hub that may write; set HF_TOKEN, or type `hf auth login`."
        )


def push(folder: Path, repository: str) -> str:
    """Upload a folder to a repository on the Hugging Face hub, and return its address.

    A repository that does not exist yet is made, and is private.

    Raises:
        InputError: the hub refuses the upload, or cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        address = HfApi().create_repo(repository, private=True, exist_ok=True)
        HfApi().upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:  # errors of the network, below HTTP, have no common class
        raise InputError(
            f"cannot push to {repository} ({reason(error)}); check its name, whether your token may write, and the "
            "network."
        ) from error
    return str(address)
