"""What the CLIP cannot tell apart, in ten classes of the shipped pictures."""

import io
import re

import numpy as np
from PIL import Image

from ipo_prompts.experiments.cli.data import check
from ipo_prompts.experiments.data import load_data, near_copies


def test_check_names_equal_classes_cut_names_and_near_copies(cache, tmp_path, capsys):
    shipped = load_data("embedded:c", seed=0)
    root = tmp_path / "things"
    for label in range(10):
        for part in ("train", "val", "test"):
            own = root / part / shipped.class_names[label]
            own.mkdir(parents=True)
            for number, item in enumerate([one for one in shipped.part(part) if one.label == label][:3]):
                (own / f"{number}.png").write_bytes(item.picture.bytes())
    with Image.open(root / "train" / "cat" / "0.png") as picture:
        again = io.BytesIO()
        picture.convert("RGBA").resize((picture.width * 3 // 4, picture.height * 3 // 4)).save(again, "PNG")
    (root / "test" / "cat" / "copy.png").write_bytes(again.getvalue())
    (root / "test" / "cat" / "again.png").write_bytes(again.getvalue() + b"0")  # other bytes, in the same part
    (root / "classes.yaml").write_text("bread: n02084071\ncat: [cat, kitten]\n")
    assert check(f"folder:{root}", clip="embedded") == 0
    said = capsys.readouterr().out
    assert "n02084071: n·0·2·0·8·4·0·7·1" in said
    assert "pairs of pictures that are near copies to the CLIP: 3" in said
    assert "copy.png (test)" in said
    assert "write it in classes.yaml, such as bread: NAME" in said
    assert "hardly tells apart by name" not in said  # these names differ
    (root / "classes.yaml").write_text("'bread': the cat\ncat: a cat\n")
    assert check(f"folder:{root}", clip="embedded") == 0
    line = re.search(r"or synonyms, in classes.yaml, such as (.*)", capsys.readouterr().out)[1]
    key, _, names = line.partition(": ")
    assert key in ("bread", "cat") and names == "[NAME, SYNONYM]"


def test_of_many_pictures_each_pair_of_two_parts_is_found_once_the_closest_first(monkeypatch):
    rows = np.eye(6, dtype=np.float32)
    for one, other, cosine in ((0, 5, 0.991), (3, 4, 0.995), (1, 2, 0.999)):
        rows[other] = cosine * rows[one] + np.sqrt(1 - cosine**2) * np.eye(6)[other]
    kinds = np.array([0, 1, 1, 0, 1, 1])  # the second and the third are of one part
    for block in (6, 4, 1):
        monkeypatch.setattr(near_copies, "BLOCK", block)
        assert [pair[:2] for pair in near_copies._pairs(rows, kinds)] == [(3, 4), (0, 5)]
