"""Which icon packages the pictures come from, and under which licence.

Every package here allows redistribution with attribution. Two well-known sets
are missing on purpose: OpenMoji and EmojiOne 1 are share-alike (CC-BY-SA).
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EMOJI_DATA: Final = "emojibase-data"
EMOJI_DATA_VERSION: Final = "17.0.0"
ALLOWED_LICENCES: Final = frozenset({"MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-3.0", "CC0-1.0", "ISC", "OFL-1.1"})


@dataclass(frozen=True)
class Source:
    """One npm package of pictures.

    ``family`` groups packages that draw a concept with the same shape: two
    pictures of one family must never land in two parts of the data.
    ``kind`` decides the caption's style words: "emoji", "icon" or "glyph".
    """

    package: str
    version: str
    family: str
    kind: str
    licence: str
    author: str
    url: str

    @property
    def name(self) -> str:
        """The package without its scope, as used in picture ids."""
        return self.package.split("/")[-1]


def _iconify(
    name: str,
    version: str,
    family: str,
    kind: str,
    licence: str,
    author: str,
    url: str,
) -> Source:
    return Source(f"@iconify-json/{name}", version, family, kind, licence, author, url)


def _url(project: str) -> str:
    return project if project.startswith("http") else _GITHUB + project


_GITHUB: Final = "https://github.com/"
_NOTO: Final = _GITHUB + "googlefonts/noto-emoji"
_FLUENT: Final = _GITHUB + "microsoft/fluentui-emoji"
_TWO: Final = _GITHUB + "EmojiTwo/emojitwo"
_STREAM: Final = _GITHUB + "webalys-hq/streamline-vectors"
_MS: Final = "Microsoft Corporation"
_CC: Final = "CC-BY-4.0"

# Monochrome icon sets: name, version, family, licence, author, GitHub project.
_GLYPHS: Final = """
game-icons|1.2.4|game-icons|CC-BY-3.0|GameIcons|game-icons/icons
mdi|1.2.3|mdi|Apache-2.0|Pictogrammers|Templarian/MaterialDesign
material-symbols|1.2.98|mdi|Apache-2.0|Google|google/material-design-icons
tabler|1.2.41|tabler|MIT|Paweł Kuna|tabler/tabler-icons
ph|1.2.2|ph|MIT|Phosphor Icons|phosphor-icons/core
lucide|1.2.137|lucide|ISC|Lucide Contributors|lucide-icons/lucide
lucide-lab|1.2.3|lucide|ISC|Lucide Contributors|lucide-icons/lucide-lab
fa6-solid|1.2.4|fa6|CC-BY-4.0|Dave Gandy|FortAwesome/Font-Awesome
icon-park|1.2.4|icon-park|Apache-2.0|ByteDance|bytedance/IconPark
icon-park-solid|1.2.4|icon-park|Apache-2.0|ByteDance|bytedance/IconPark
hugeicons|1.2.35|hugeicons|MIT|Hugeicons|https://icon-sets.iconify.design/hugeicons/
iconoir|1.2.11|iconoir|MIT|Luca Burgio|iconoir-icons/iconoir
maki|1.2.5|maki|CC0-1.0|Mapbox|mapbox/maki
temaki|1.2.6|temaki|CC0-1.0|Bryan Housel|rapideditor/temaki
bi|1.2.7|bi|MIT|The Bootstrap Authors|twbs/icons
carbon|1.2.29|carbon|Apache-2.0|IBM|carbon-design-system/carbon
famicons|1.2.2|ion|MIT|Family|familyjs/famicons
fontisto|1.2.1|fontisto|MIT|Kenan Gündoğan|kenangundogan/fontisto
mingcute|1.2.8|mingcute|Apache-2.0|MingCute Design|Richard9394/MingCute
fluent|1.2.60|fluent-icons|MIT|Microsoft Corporation|microsoft/fluentui-system-icons
healthicons|1.2.13|healthicons|MIT|Resolve to Save Lives|resolvetosavelives/healthicons
pixelarticons|1.2.9|pixelarticons|MIT|Gerrit Halfmann|halfmage/pixelarticons
picon|1.2.0|picon|OFL-1.1|Picon Contributors|yne/picon
whh|1.2.0|whh|OFL-1.1|WebHostingHub|https://icon-sets.iconify.design/whh/
solar|1.2.13|solar|CC-BY-4.0|480 Design|https://www.figma.com/community/file/1166831539721848736
uil|1.2.3|uil|Apache-2.0|Iconscout|Iconscout/unicons
bx|1.2.3|bx|MIT|Boxicons|box-icons/boxicons
tdesign|1.2.19|tdesign|MIT|TDesign|Tencent/tdesign-icons
majesticons|1.2.5|majesticons|MIT|Gerrit Halfmann|halfmage/majesticons
vaadin|1.2.1|vaadin|Apache-2.0|Vaadin|vaadin/web-components
streamline|1.2.5|streamline-line|CC-BY-4.0|Streamline|webalys-hq/streamline-vectors
pepicons-pop|1.2.4|pepicons|CC-BY-4.0|CyCraft|CyCraft/pepicons
mynaui|1.2.19|mynaui|MIT|Praveen Juge|praveenjuge/mynaui-icons
fluent-mdl2|1.2.1|mdl2|MIT|Microsoft Corporation|microsoft/fluentui
"""

SOURCES: Final[tuple[Source, ...]] = (
    _iconify("noto", "1.2.9", "noto", "emoji", "Apache-2.0", "Google Inc", _NOTO),
    _iconify("noto-v1", "1.2.5", "noto", "emoji", "Apache-2.0", "Google Inc", _NOTO),
    _iconify("twemoji", "1.2.5", "twemoji", "emoji", _CC, "Twitter", _GITHUB + "jdecked/twemoji"),
    _iconify("fluent-emoji-flat", "1.2.6", "fluent", "emoji", "MIT", _MS, _FLUENT),
    _iconify("fluent-emoji-high-contrast", "1.2.6", "fluent", "glyph", "MIT", _MS, _FLUENT),
    Source("@lobehub/fluent-emoji-3d", "1.1.0", "fluent", "emoji", "MIT", _MS, _FLUENT),
    _iconify("emojione", "1.2.3", "emojione", "emoji", _CC, "Emoji One", _TWO),
    _iconify("emojione-monotone", "1.2.1", "emojione", "glyph", _CC, "Emoji One", _TWO),
    _iconify("fxemoji", "1.2.2", "fxemoji", "emoji", "Apache-2.0", "Mozilla", _GITHUB + "mozilla/fxemoji"),
    _iconify("streamline-emojis", "1.2.4", "streamline-emojis", "emoji", _CC, "Streamline", _STREAM),
    _iconify(
        "flat-color-icons",
        "1.2.3",
        "flat-color-icons",
        "icon",
        "MIT",
        "Icons8",
        _GITHUB + "icons8/flat-Color-icons",
    ),
    _iconify("streamline-color", "1.2.2", "streamline-color", "icon", _CC, "Streamline", _STREAM),
    _iconify("streamline-flex-color", "1.2.2", "streamline-color", "icon", _CC, "Streamline", _STREAM),
    _iconify("streamline-plump-color", "1.2.2", "streamline-color", "icon", _CC, "Streamline", _STREAM),
    _iconify(
        "marketeq",
        "1.2.2",
        "marketeq",
        "icon",
        "MIT",
        "Marketeq",
        "https://icon-sets.iconify.design/marketeq/",
    ),
    _iconify("streamline-cyber-color", "1.2.2", "cyber", "icon", _CC, "Streamline", _STREAM),
    _iconify("streamline-stickies-color", "1.2.2", "stickies", "icon", _CC, "Streamline", _STREAM),
    _iconify("streamline-ultimate-color", "1.2.2", "ultimate", "icon", _CC, "Streamline", _STREAM),
    _iconify("streamline-kameleon-color", "1.2.2", "kameleon", "icon", _CC, "Streamline", _STREAM),
    *(
        _iconify(name, version, family, "glyph", licence, author, _url(project))
        for name, version, family, licence, author, project in (row.split("|") for row in _GLYPHS.strip().splitlines())
    ),
)


def fetch(folder: Path) -> None:
    """Installs the pinned packages into ``folder/node_modules``.

    Raises:
        subprocess.CalledProcessError: npm is missing or the registry refused.
        ValueError: a package carries a licence that is not on our list or not the one stated.
    """
    refused = [s.package for s in SOURCES if s.licence not in ALLOWED_LICENCES]
    if refused:
        raise ValueError(f"licence not allowed: {refused}; allowed are {sorted(ALLOWED_LICENCES)}")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [f"{s.package}@{s.version}" for s in SOURCES]
    wanted.append(f"{EMOJI_DATA}@{EMOJI_DATA_VERSION}")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    subprocess.run([*command, "--prefix", str(folder), *wanted], check=True)
    for source in SOURCES:
        _check_licence(folder / "node_modules" / source.package, source.licence)


def _check_licence(package: Path, wanted: str) -> None:
    """The package itself must state the licence that NOTICE.md will give."""
    info = package / "info.json"
    if info.exists():
        found = json.loads(info.read_text("utf-8"))["license"]["spdx"]
    else:
        found = json.loads((package / "package.json").read_text("utf-8"))["license"]
    if found != wanted:
        raise ValueError(f"{package.name} says licence {found!r}, we expect {wanted!r}")
