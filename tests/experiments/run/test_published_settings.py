"""What a run says of the published settings that it starts from, and the shipped configurations of them."""

from __future__ import annotations

import pytest

from ipo_prompts.experiments.run.config import differences, shipped_config, shipped_configs
from ipo_prompts.experiments.run.files import load_config

WHOLE = ("classes=base-to-new", "clip=ViT-B-16/openai", "lm=openai/gpt-3.5-turbo")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([*WHOLE, "preset=paper", "shots=16", "describer=none"], []),
        ([*WHOLE, "preset=paper", "shots=16", "describer=none", "train_images=64"], []),
        ([*WHOLE, "preset=paper", "shots=1", "describer=file:desc.txt"], ["describer=file:desc.txt (MiniCPM-V-2)"]),
        ([*WHOLE, "preset=paper", "shots=16", "describer=x/y", "described_images=500"], ["describer=x/y (none)"]),
        ([*WHOLE, "preset=paper", "shots=1", "describer=none"], ["describer=none (MiniCPM-V-2)"]),
        (
            [*WHOLE, "preset=paper", "shots=1", "describer=hosted_vllm/openbmb/MiniCPM-V-2"],
            ["described_images=16 (500)"],
        ),
        (
            [*WHOLE, "preset=code", "shots=16", "describer=x/MiniCPM-V-2", "described_images=500"],
            ["shots=16 (1)"],
        ),
        (
            [*WHOLE, "preset=paper", "shots=16", "describer=none", "steps=3", "strategy.size=5"],
            ["steps=3 (100)", "strategy.size=5 (20)"],
        ),
        (
            [*WHOLE, "preset=code", "shots=1", "describer=none", "strategy=no-history"],
            ["describer=none (MiniCPM-V-2)", "strategy.name=no-history (history)"],
        ),
        (
            ["preset=paper", "data=imagenet", "clip=embedded", "lm=openai/gpt-3.5-turbo", "shots=16", "describer=none"],
            ["clip=embedded (ViT-B-16/openai)"],
        ),
    ],
)
def test_what_is_not_as_published_is_found(words: list[str], found: list[str]) -> None:
    assert differences(load_config(None, words)) == found


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_configuration_is_the_published_setting(name: str) -> None:
    config = load_config(shipped_config(name))
    later = ["describer=ollama_chat/minicpm-v (MiniCPM-V-2)"]  # what Ollama has of it
    assert differences(config) == ([] if name == "paper-16-shot" else later)
    assert config.preset == name.split("-")[0]
    candidates, alone = (8, True) if config.preset == "code" else (5, False)
    assert (config.steps, config.candidates_per_step, config.strategy["one_by_one"]) == (100, candidates, alone)


def test_shipped_configurations_are_found_by_name_only() -> None:
    assert shipped_configs() == ["code-1-shot", "paper-1-shot", "paper-16-shot"]
    assert shipped_configs("paper") == ["paper-1-shot", "paper-16-shot"]
    assert shipped_config("paper") is shipped_config("../configs/paper-1-shot") is shipped_config("") is None
