from pathlib import Path

from ipo_prompts.experiments.run.files import load_config


def test_defaults_need_nothing() -> None:
    config = load_config(None)
    assert (config.data, config.clip, config.lm, config.describer) == ("embedded", "embedded", "local", "none")


def test_flags_win_over_words_over_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("steps: 1\nshots: 1\nseed: 1\n")
    config = load_config(file, ["shots=2", "seed=2"], seed=3)
    assert (config.steps, config.shots, config.seed) == (1, 2, 3)


def test_words_may_have_the_form_that_sweep_agents_write() -> None:
    assert load_config(None, ["--steps=7", "patience=null"]).steps == 7
    nested = load_config(None, ["strategy={'name': 'history', 'size': 3}", "patience=None"])
    assert (nested.strategy["name"], nested.strategy["size"], nested.patience) == ("history", 3, None)
    assert load_config(None, ["exclude=[cat]"]).exclude == ["cat"]


def test_written_configuration_reads_back_equal(tmp_path: Path) -> None:
    config = load_config(None, ["steps=3", 'task=images: of "pets"'])
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())
    assert load_config(file) == config


def test_limits_and_the_device_may_change_on_resume_and_nothing_else() -> None:
    config = load_config(None)
    assert load_config(None, ["budget_usd=1", "device=cuda:1"]).differs_from(config) is None
    assert load_config(None, ["seed=1"]).differs_from(config) == "seed"
