"""The data sets of the paper, as the field uses them: eleven to search on, four shifted ImageNets to test on.

The layout is that of CoOp (github.com/KaiyangZhou/CoOp, DATASETS.md): one root with a folder a data set, and in it the
pictures and `split_zhou_NAME.json`. Templates are those of its zero-shot classifier. Sizes were counted from the
published split files and index files (github.com/linzhiqiu/cross_modal_adaptation, MIT); those of ImageNet and its
shifted versions are the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ROOT_VARIABLE = "IPO_DATA_ROOT"

Rule = Literal["split", "variants", "imagenet", "wnids", "numbers"]


@dataclass(frozen=True)
class Hub:
    """A copy on the Hugging Face hub. None of them ships the benchmark's split.

    Attributes:
        id: as `hf:` takes it.
        key: the column that names a picture's file; None takes the path that the image column stores.
        caveat: what a user must know.
        usable: whether its rows are the pictures of the benchmark at all.
    """

    id: str
    caveat: str
    key: str | None = None
    usable: bool = True


@dataclass(frozen=True)
class Registered:
    """One registered data set.

    Attributes:
        name: what a person writes, as in `--data eurosat`.
        title: what a table calls it.
        task: for the language model; it names no class of the new half.
        hand_written: CoOp's template.
        folder: below the root.
        pictures: the folder of the pictures, below `folder`; the paths of the split file start there.
        rule: where parts and labels come from. "split": a split file; "variants": the lists of FGVC-Aircraft;
            "imagenet": train and val folders of WordNet ids, val being the test part; "wnids" and "numbers": folders of
            WordNet ids or of label numbers, all for testing.
        classes: how many.
        sizes: pictures in train, val and test of the official split.
        hub: its copy on the Hugging Face hub.
        split_file: for the rule "split".
    """

    name: str
    title: str
    task: str
    hand_written: str
    folder: str
    pictures: str
    rule: Rule
    classes: int
    sizes: tuple[int, int, int]
    hub: Hub
    split_file: str | None = None

    @property
    def twins(self) -> bool:
        """Whether two classes may share a name: CLIP's list for ImageNet has "missile" and "sunglasses" twice."""
        return self.rule in ("imagenet", "wnids", "numbers")


_PHOTO = "a photo of a <CLASS>."
_THINGS = "animals, plants and everyday things, of {} kinds"

_ALL = (
    Registered(
        "imagenet",
        "ImageNet",
        f"pictures of {_THINGS.format(1000)}",
        _PHOTO,
        "imagenet",
        "images",
        "imagenet",
        1000,
        (1_281_167, 0, 50_000),
        Hub("ILSVRC/imagenet-1k", "gated: accept its terms and log in first; class names come from classnames.txt"),
    ),
    Registered(
        "caltech101",
        "Caltech101",
        "pictures of objects, animals and faces, of 100 kinds",
        _PHOTO,
        "caltech-101",
        "101_ObjectCategories",
        "split",
        100,
        (4_128, 1_649, 2_465),
        Hub("HuggingFaceM4/Caltech-101", "another split, with the background class, behind a loading script"),
        "split_zhou_Caltech101.json",
    ),
    Registered(
        "oxford_pets",
        "OxfordPets",
        "pictures of pets, cats and dogs, by breed",
        "a photo of a <CLASS>, a type of pet.",
        "oxford_pets",
        "images",
        "split",
        37,
        (2_944, 736, 3_669),
        Hub("timm/oxford-iiit-pet", "no val part", "image_id"),
        "split_zhou_OxfordPets.json",
    ),
    Registered(
        "stanford_cars",
        "StanfordCars",
        "pictures of cars, by make, model and year",
        _PHOTO,
        "stanford_cars",
        "",
        "split",
        196,
        (6_509, 1_635, 8_041),
        Hub("tanganke/stanford_cars", "no val part and no file names"),
        "split_zhou_StanfordCars.json",
    ),
    Registered(
        "oxford_flowers",
        "Flowers102",
        "pictures of flowers, by species",
        "a photo of a <CLASS>, a type of flower.",
        "oxford_flowers",
        "jpg",
        "split",
        102,
        (4_093, 1_633, 2_463),
        Hub("dpdl-benchmark/oxford_flowers102", "the data set's own split, of 1020, 1020 and 6149 pictures"),
        "split_zhou_OxfordFlowers.json",
    ),
    Registered(
        "food101",
        "Food101",
        "pictures of food, by dish",
        "a photo of <CLASS>, a type of food.",
        "food-101",
        "images",
        "split",
        101,
        (50_500, 20_200, 30_300),
        Hub("ethz/food101", "the data set's own split, of 75750 and 25250 pictures"),
        "split_zhou_Food101.json",
    ),
    Registered(
        "fgvc_aircraft",
        "FGVCAircraft",
        "pictures of aircraft, by model variant",
        "a photo of a <CLASS>, a type of aircraft.",
        "fgvc_aircraft",
        "images",
        "variants",
        100,
        (3_334, 3_333, 3_333),
        Hub("HuggingFaceM4/FGVC-Aircraft", "behind a loading script; the class is the column variant", usable=False),
    ),
    Registered(
        "sun397",
        "SUN397",
        "pictures of places and scenes, indoors and outdoors",
        _PHOTO,
        "sun397",
        "SUN397",
        "split",
        397,
        (15_880, 3_970, 19_850),
        Hub("tanganke/sun397", "no val part and other class names"),
        "split_zhou_SUN397.json",
    ),
    Registered(
        "dtd",
        "DTD",
        "close pictures of textures, by the word that describes them",
        "<CLASS> texture.",
        "dtd",
        "images",
        "split",
        47,
        (2_820, 1_128, 1_692),
        Hub("tanganke/dtd", "train and val are one part of 3760 pictures, and the test part has other ones"),
        "split_zhou_DescribableTextures.json",
    ),
    Registered(
        "eurosat",
        "EuroSAT",
        "satellite pictures of land, by land use and land cover",
        "a centered satellite photo of <CLASS>.",
        "eurosat",
        "2750",
        "split",
        10,
        (13_500, 5_400, 8_100),
        Hub("timm/eurosat-rgb", "another split, of 16200, 5400 and 5400 pictures", "image_id"),
        "split_zhou_EuroSAT.json",
    ),
    Registered(
        "ucf101",
        "UCF101",
        "frames of videos of people, by what they do",
        "a photo of a person doing <CLASS>.",
        "ucf101",
        "UCF-101-midframes",
        "split",
        101,
        (7_639, 1_898, 3_783),
        Hub("flwrlabs/ucf101", "all frames of all videos, where the benchmark takes the middle one", usable=False),
        "split_zhou_UCF101.json",
    ),
    Registered(
        "imagenetv2",
        "ImageNetV2",
        f"pictures of {_THINGS.format(1000)}",
        _PHOTO,
        "imagenetv2",
        "imagenetv2-matched-frequency-format-val",
        "numbers",
        1000,
        (0, 0, 10_000),
        Hub("vaishaal/ImageNetV2", "an archive of three variants, not a table of pictures", usable=False),
    ),
    Registered(
        "imagenet_sketch",
        "ImageNet-Sketch",
        f"sketches of {_THINGS.format(1000)}",
        _PHOTO,
        "imagenet-sketch",
        "images",
        "wnids",
        1000,
        (0, 0, 50_889),
        Hub("songweig/imagenet_sketch", "behind a loading script"),
    ),
    Registered(
        "imagenet_a",
        "ImageNet-A",
        f"pictures of {_THINGS.format(200)}",
        _PHOTO,
        "imagenet-adversarial",
        "imagenet-a",
        "wnids",
        200,
        (0, 0, 7_500),
        Hub("barkermrl/imagenet-a", "one split, called train"),
    ),
    Registered(
        "imagenet_r",
        "ImageNet-R",
        f"renditions of {_THINGS.format(200)}",
        _PHOTO,
        "imagenet-rendition",
        "imagenet-r",
        "wnids",
        200,
        (0, 0, 30_000),
        Hub("axiong/imagenet-r", "its class names are not CLIP's; they are taken through the column wnid"),
    ),
)

REGISTRY: Mapping[str, Registered] = {entry.name: entry for entry in _ALL}
"""Name → data set, in the order of the paper's tables."""
