"""CPU seconds and memory of each stage of `ipo optimize --lm none` and `ipo predict`, by classes and by images.

Each number is one call in a process of its own, which has done the stage at size 4 before; inputs are made before, too.
The CLIP is the demo CLIP. Names are nouns of WordNet. A class has 16 images: random features, or files of 64 × 64
pixels where files are read. The processes have one thread if `OMP_NUM_THREADS=1` is set. The exponent is that between
the two largest sizes.

The last column says how long a ViT-L/14 takes at the largest size for the operations of its towers and of logits, at
`RATE`. It is computed, not measured. `--whole` runs `ipo optimize --lm none` with 1,000 classes in place of the stages.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import chdir, suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from benchmarks.common import arguments
from benchmarks.text_tower import TEMPLATES, zero_shot
from ipo_prompts.experiments.cli.predict import label_files
from ipo_prompts.experiments.report.page import read_run, run_page
from ipo_prompts.metrics.arrays import Floats, batches
from ipo_prompts.metrics.blend import Labelled, blend
from ipo_prompts.metrics.classification import ClipReward, EncodedImages, logits_of
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.evidence import paired_difference, score_interval
from ipo_prompts.metrics.features import FeatureStore, as_features
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.nouns import synsets
from ipo_prompts.metrics.reward import class_embeddings
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.surrogate import Surrogate
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.domain import domain_of
from ipo_prompts.programs.naming import search_names
from ipo_prompts.programs.other_names import candidates_of

CLIP = load_clip("embedded", "cpu")
SIZES = (10, 100, 1_000, 10_000, 100_000)
SHOTS = 16
FILES = Path("images")
"""The folder of image files, which are read again and again."""
RATE = 20e12
"""Operations a second: about those of an A100 in float32."""
Do = Callable[[], Any]


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, whole={"action": "store_true", "help": "run ipo optimize with 1,000 classes"})
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder, chdir(folder):
        os.environ |= {"IPO_CACHE_DIR": folder, "XDG_STATE_HOME": folder}
        if options.whole:
            optimize(4 if options.small else 1_000, SHOTS)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            print(f"{used.ru_utime + used.ru_stime:.0f} CPU s, {used.ru_maxrss / 2**20:.1f} GB")
        else:
            draw(FILES, 1_000)
            table((2, 4) if options.small else SIZES)


def table(sizes: Sequence[int]) -> None:
    """Print the table, and the ratios to open_clip."""
    print(f"|classes, or images|{'|'.join(f'{size:,}' for size in sizes)}|exponent|GB|ViT-L/14|")
    print("|---|" + "---:|" * (len(sizes) + 3))
    found = {}
    for name, (most, make) in STAGES.items():
        own = [size for size in sizes if size <= most]
        seconds, memory = zip(*(measured(make, size) for size in own), strict=True)
        cells = [*(f"{one:.2g}" for one in seconds), *[""] * (len(sizes) - len(own))]
        exponent, by_flops = math.log10(seconds[-1] / seconds[-2]), FLOPS.get(name, 0) / RATE
        print(f"|{name}|{'|'.join(cells)}|{exponent:.1f}|{memory[-1]:.1f}|{by_flops:.2g}|", flush=True)
        found[name] = seconds
    for one, other in ((BUILDER, EMBEDDINGS), (PREDICT, LOOP)):
        largest = len(found[one]) - 1
        print(f"\n{one} ÷ {other}, {sizes[largest]:,}: {found[one][largest] / found[other][largest]:.2f}")


def measured(make: Callable[[int], Do], size: int) -> tuple[float, float]:
    """Return the CPU seconds of a stage in a process of its own, and the most memory of the process in GB."""
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()

    def measure() -> None:
        make(4)()
        do = make(size)
        started = time.process_time()
        do()
        seconds = time.process_time() - started
        results.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))

    process = fork.Process(target=measure)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(1)
    return results.get()  # type: ignore[no-any-return]


# What stages are made of.


def nouns(count: int) -> list[str]:
    """Return nouns, each the most usual word of its meaning, spread over all meanings."""
    every = list(dict.fromkeys(one.words[0].text for one in synsets().values() if one.words[0].text.islower()))
    return every[:: len(every) // count][:count]


def reward(classes: int) -> ClipReward:
    """Return a reward with these classes."""
    return ClipReward(CLIP, nouns(classes))


def rows(count: int) -> Floats:
    """Return random features."""
    return as_features(np.random.default_rng(0).standard_normal((count, CLIP.width)), CLIP.width, "")


def encoded(classes: int) -> EncodedImages:
    """Return random features of the images of classes."""
    return EncodedImages(rows(SHOTS * classes), np.repeat(np.arange(classes), SHOTS))


def draw(folder: Path, count: int) -> None:
    """Draw images with the colours of a class, and noise."""
    folder.mkdir(parents=True)
    random = np.random.default_rng([*folder.name.encode()])
    colours = random.integers(0, 128, (8, 8, 3))
    for number in range(count):
        noisy = colours + random.integers(0, 128, colours.shape)
        Image.fromarray(noisy.astype(np.uint8)).resize((64, 64)).save(folder / f"{number}.png")


def files(count: int) -> list[Path]:
    """Return so many paths of image files."""
    return list(islice(cycle(FILES.iterdir()), count))


def optimize(classes: int, shots: int, *words: str) -> Path:
    """Run `ipo optimize --lm none`, unless it was run before, and return the folder of the run."""
    data, run = Path(f"data{classes}"), Path(f"run{classes}")
    if not run.exists():
        for name in nouns(classes):
            for part, count in (("train", shots), ("val", 2), ("test", 4)):
                draw(data / part / name, count)
        command = [sys.executable, "-m", "ipo_prompts", "optimize", "--lm", "none", "--quiet", "--data"]
        given = [f"folder:{data}", "--out", str(run), f"shots={shots}", *words]
        subprocess.run([*command, *given], check=True, stdout=subprocess.DEVNULL)
    return run


def again(do: Do) -> Do:
    """Return what is done once already, as in a search: its words are known."""
    do()
    return do


# The stages.


def embeddings(classes: int) -> Do:
    """Encode a template."""
    return again(partial(class_embeddings, CLIP, [BASELINE], nouns(classes)))


def tokens(classes: int) -> Do:
    """Encode a template up to where its tokens become a trie."""
    names = nouns(classes)

    def until_trie() -> None:
        with patch("ipo_prompts.metrics.text_tower.Trie", side_effect=InterruptedError), suppress(InterruptedError):
            class_embeddings(CLIP, [BASELINE], names)

    embeddings(classes)  # the path of the tower is chosen, and the words are known
    return until_trie


def builder(classes: int) -> Do:
    """Encode a template by open_clip."""
    return again(partial(zero_shot, CLIP.model, CLIP.tokenizer, nouns(classes), [BASELINE]))


def score(classes: int) -> Do:
    """Score a template that is encoded."""
    return partial(reward(classes).score_embeddings, [BASELINE], [rows(classes)], encoded(classes))


def predicted(classes: int) -> Do:
    """Score the promising ones of 16 templates, after 24."""
    surrogate = Surrogate(reward(classes), encoded(classes), BASELINE)
    surrogate.score(TEMPLATES)
    return partial(surrogate.promising, [f"{template}!" for template in TEMPLATES[:16]])


def names(classes: int) -> Do:
    """Search for names, whose candidates count, too."""
    return partial(search_names, reward(classes), BASELINE, [encoded(classes)])


def blended(classes: int) -> Do:
    """Blend words and images."""
    images = encoded(classes)
    words = partial(logits_of, CLIP, classes=rows(classes))
    return partial(blend, words, Labelled(images.features, images.labels, classes))


def page(classes: int) -> Do:
    """Write the page of a short run again."""
    folder = optimize(classes, 1, "steps=1", "scored_templates=1", "classifier=text")
    return lambda: run_page(read_run(folder))


def put(images: int) -> Do:
    """Store features that no CLIP has to encode."""
    features = rows(32)
    patch.object(CLIP, "encode_batches", lambda groups, **_: (features[: len(one)] for one in groups)).start()
    every = [LazyImage.from_bytes("", number.to_bytes(4, "big")) for number in range(images)]
    return partial(FeatureStore(CLIP, Path(f"{os.getpid()} {images}")).encode, every)


def encode(images: int) -> Do:
    """Decode and encode files."""
    every = list(map(LazyImage.from_path, files(images)))
    return lambda: deque(CLIP.encode_batches(batches(every, CLIP.batch)), 0)


def predict(images: int) -> Do:
    """Label files with ten classes, as the command does before it writes rows."""
    classifier = TemplateClassifier(CLIP, nouns(10))
    return lambda: deque(label_files(classifier, iter(files(images))), 0)


def loop(images: int) -> Do:
    """Label files with ten classes by open_clip."""
    texts = torch.from_numpy(builder(10)().T)

    def read(some: Sequence[Path]) -> torch.Tensor:
        return torch.stack([CLIP.preprocess(Image.open(file)) for file in some])

    def label() -> None:
        for batch in torch.utils.data.DataLoader(files(images), 32, collate_fn=read):  # type: ignore[arg-type]
            (CLIP.model.encode_image(batch, normalize=True) @ texts).argmax(-1)

    return label


def tested(images: int) -> Do:
    """Test the difference of two templates, and give the interval of the second."""
    before, after = np.random.default_rng(0).random((2, images)) < 0.5

    def test() -> None:
        sampling = Sampling.of(images, np.arange(images) % 100)
        paired_difference(before, after, sampling)
        score_interval(after, sampling)

    return test


EMBEDDINGS, BUILDER, SCORE = "embeddings of a template", "open_clip's builder", "score of a template"
PREDICTED, PREDICT, LOOP = "16 predicted scores, 3 scores", "images: predict", "images: loop with a DataLoader"
STAGES: dict[str, tuple[int, Callable[[int], Do]]] = {
    "texts to tokens": (10_000, tokens),
    EMBEDDINGS: (10_000, embeddings),
    BUILDER: (1_000, builder),
    SCORE: (1_000, score),
    PREDICTED: (1_000, predicted),
    "domain words": (10_000, lambda size: partial(domain_of, nouns(size), ())),
    "candidates for names": (10_000, lambda size: partial(candidates_of, nouns(size))),
    "search for names": (1_000, names),
    "blend": (1_000, blended),
    "page": (100, page),
    "images: digest, put": (100_000, put),
    "images: get": (100_000, lambda size: again(put(size))),
    "images: decode, encode": (10_000, encode),
    PREDICT: (10_000, predict),
    LOOP: (10_000, loop),
    "images: test, interval": (100_000, tested),
}
"""The largest size of each stage, and the function that makes it."""
FLOPS = {
    EMBEDDINGS: 10_000 * 0.85e9,
    SCORE: 16e6 * 1536,
    PREDICTED: 4_000 * 0.85e9 + 19 * 16e6 * 1536,
    PREDICT: 10_000 * 162e9,
}
"""What a ViT-L/14 computes at the largest size.

An image takes 162 GFLOP. A text takes 0.85 GFLOP, for the five tokens that no other text shares. A logit takes 1,536.
"""


if __name__ == "__main__":
    main()
