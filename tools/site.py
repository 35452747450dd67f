"""Builds the site of the documentation, strictly, in build/site/html; see mkdocs.yml.

    pip install --group docs        (pip 25.1 or newer, beside the extra `dev`)
    python -m tools.site

Its pages are those of docs/ and some that stand beside it, such as the README, which is the first page. Their links are
rewritten for that; a file that a page links to is published, too. The notebook and a search are run, without a network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
DOCS, CONFIG = ROOT / "docs", ROOT / "mkdocs.yml"
BUILD = ROOT / "build" / "site"
PAGES, HTML = BUILD / "pages", BUILD / "html"
NOTEBOOK, REPORT = "tutorial/notebook.md", "tutorial/report.html"

BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "project/lab.md",
    "docs/tutorial/notebook.ipynb": NOTEBOOK,
}
"""File of the checkout → its page on the site, for pages that are no Markdown files of docs/."""

STYLE = ".md-nav__link--active, .md-nav__link--active .md-ellipsis { color: var(--md-default-fg-color); }\n"
"""The theme's own colour of the page that is read has too little contrast."""

_CODE = re.compile(r"(^```.*?^```$)", re.M | re.S)
_LINK = re.compile(r'(\]\(|(?:href|src)=")([^)#\s"]+)')


def pages() -> dict[Path, str]:
    """Return the file of each page → its place on the site."""
    return {
        **{file: file.relative_to(DOCS).as_posix() for file in sorted(DOCS.rglob("*.md"))},
        **{ROOT / file: place for file, place in BESIDE.items()},
    }


def nav() -> dict[str, list[str]]:
    """Return the headings of the navigation → the pages below each. It is read by line: it has tags of Python."""
    found: dict[str, list[str]] = {}
    for line in CONFIG.read_text("utf-8").partition("\nnav:\n")[2].partition("\n\n")[0].splitlines():
        if top := re.fullmatch(r"  - (.+):", line):
            found[top[1]] = []
        elif page := re.fullmatch(r" +- (?:.+: )?(\S+\.(?:md|html))", line):
            found[list(found)[-1]].append(page[1])
    return found


def gather() -> None:
    """Write the pages, and the files that they link to, into `PAGES`."""
    places = pages()
    _write(PAGES / "site.css", STYLE)
    for file, place in places.items():
        if file.suffix == ".md":
            _write(PAGES / place, _rewritten(file, file.read_text("utf-8"), places))


def _rewritten(file: Path, text: str, places: dict[Path, str]) -> str:
    """Return the text of a page as the generator takes it: it knows fewer ways to write Markdown than GitHub does."""
    report = os.path.relpath(REPORT, Path(places[file]).parent)
    parts = _CODE.split(text)
    for index in range(0, len(parts), 2):
        part = _LINK.sub(lambda link: link[1] + _moved(link[2], file, places), parts[index])
        part = part.replace("\\<", "&lt;")
        part = re.sub(r"`([^`\n]*\\\|[^`\n]*)`", _code_in_table, part)
        part = re.sub(r"(?<=\)\]\()[^)\s]*images/report\.png(?=\))", report, part)  # the image leads to a whole report
        parts[index] = re.sub(r"^([^\s|>#*-].*\n)(?=- |1\. )", r"\1\n", part, flags=re.M)  # a list has a line before it
    return "".join(parts)


def _code_in_table(code: re.Match[str]) -> str:
    r"""Return code with `\|` as HTML, because the generator would show the backslash."""
    return "<code>" + escape(code[1]).replace("\\|", "&#124;") + "</code>"


def _moved(link: str, file: Path, places: dict[Path, str]) -> str:
    """Return where a link of the page `file` leads on the site. A file that is no page is published below files/."""
    if urlsplit(link).scheme:
        return link
    target = (file.parent / link).resolve()
    if target in places:
        place = places[target]
    elif not target.exists():
        raise SystemExit(f"{file.relative_to(ROOT)} links to {link}, which does not exist")
    elif target.is_dir():
        place = f"files/{target.relative_to(ROOT)}/index.html"
        names = sorted(one.name for one in target.iterdir() if one.is_file())
        links = "".join(f'<li><a href="{name}">{name}</a></li>' for name in names)
        _write(PAGES / place, f'<!doctype html><html lang="en"><title>{target.name}</title><ul>{links}</ul></html>')
        for name in names:
            shutil.copy(target / name, (PAGES / place).parent)
    else:
        inside = target.is_relative_to(DOCS)
        place = str(target.relative_to(DOCS)) if inside else f"files/{target.relative_to(ROOT)}"
        place += ".txt" if target.suffix in ("", ".md") else ""
        (PAGES / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, PAGES / place)
    return os.path.relpath(place, Path(places[file]).parent)


def run_notebook(folder: Path) -> str:
    """Execute the notebook in a folder, and return it with its outputs as a page."""
    import nbformat
    from nbclient import NotebookClient

    file = ROOT / next(file for file, place in BESIDE.items() if place == NOTEBOOK)
    book = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
    os.environ["PYTHONWARNINGS"] = "ignore"  # of the kernel, which tells where its packages are
    NotebookClient(book, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    text = "\n\n".join(part for cell in book.cells for part in _cell(cell))
    shutil.copy(file, (PAGES / NOTEBOOK).with_name(file.name))
    return text.replace(str(folder), "/home/you") + f"\n\n[Download this notebook]({file.name})\n"


def _cell(cell: Any) -> Iterator[str]:
    """Yield the parts of a cell: its text or code, then its outputs."""
    if cell.cell_type == "markdown":
        yield cell.source
        return
    yield f"```py\n{cell.source}\n```"
    lines: list[str] = []
    for output in cell.outputs:
        shown = output.get("data", {})
        html = shown.get("text/html", "<pre")
        if html.startswith("<pre"):  # a line of progress, or text
            lines.append((output.get("text") or shown.get("text/plain", "")).rstrip("\n"))
        else:
            yield "<div>" + re.sub(r"\s*\n\s*", " ", html) + "</div>"
    if lines:
        yield "```text\n" + "\n".join(lines) + "\n```"


def run_search(folder: Path) -> None:
    """Run the search of the README's first command, and publish its report."""
    words = ["ipo_prompts", "optimize", "--lm", "none", "--quiet", "--out", "runs/first"]
    subprocess.run([sys.executable, "-m", *words], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    shutil.copy(folder / "runs" / "first" / "report.html", PAGES / REPORT)


def llms() -> str:
    """Return llms.txt: each page with its title and its first sentence; addresses lead to the Markdown sources."""
    config = CONFIG.read_text("utf-8")
    one = dict(re.findall(r"^(site_name|site_description|site_url): (.*)$", config, re.M))
    base = one.get("site_url", "").rstrip("/")
    lines = [f"# {one['site_name']}\n", f"> {one['site_description']}"]
    for heading, places in nav().items():
        lines.append(f"\n## {heading}\n")
        for place in places:
            if place.endswith(".md"):
                title, first = _summary((PAGES / place).read_text("utf-8"))
                lines.append(f"- [{title}]({base}/{place}): {first}" if base else f"- [{title}]({place}): {first}")
    return "\n".join(lines) + "\n"


def _summary(text: str) -> tuple[str, str]:
    """Return the title and the first sentence of a page, without links."""
    title, _, below = re.sub(r"</?[a-z][^>]*>|!\[[^\]]*\]\([^)]*\)", "", text).strip().partition("\n")
    paragraph = next((part for part in re.split(r"\n\s*\n", below.strip()) if re.match(r"[\w`*\[]", part)), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
    return title.removeprefix("# "), re.split(r"(?<=[.:!?]) ", plain)[0]


class _Read(HTMLParser):
    """The links and the anchors of an HTML page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note them."""
        given = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := given.get(key))}
        self.links += [value for key in ("href", "src") if (value := given.get(key))]


def dead_links() -> Iterator[str]:
    """Yield each link of the built site that leads to no file or to no anchor."""
    read = {page: _Read(page) for page in HTML.rglob("*.html") if page.name != "404.html"}
    for page, one in read.items():
        for link in one.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            missing = not target.exists()
            if missing or (parts.fragment and target in read and unquote(parts.fragment) not in read[target].anchors):
                yield f"{page.relative_to(HTML)}: {link}"


def main() -> None:
    """Gather, run, build, check."""
    shutil.rmtree(BUILD, ignore_errors=True)
    gather()
    with tempfile.TemporaryDirectory() as folder:
        _write(PAGES / NOTEBOOK, _rewritten(ROOT / "docs/tutorial/notebook.ipynb", run_notebook(Path(folder)), pages()))
        run_search(Path(folder))
    _write(PAGES / "llms.txt", llms())
    build = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(CONFIG)]
    if code := subprocess.run(build, check=False).returncode:
        raise SystemExit(code)
    for place in pages().values():
        shutil.copy(PAGES / place, HTML / place)
    if dead := sorted(set(dead_links())):
        raise SystemExit("links that lead nowhere:\n" + "\n".join(dead))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
