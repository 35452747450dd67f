"""Readers of data: folders, tables, the Hugging Face hub, pictures that ship with us, functions of a user's own.

A new source is its file, with a function from what stands behind the colon to a `Gathered`, and its line below. The
file is imported when such data are first read.
"""

from pkgutil import resolve_name
from typing import NamedTuple, cast

from ipo_prompts.experiments.data.assemble import Gathered
from ipo_prompts.metrics.errors import InputError


class Source(NamedTuple):
    """A kind of data.

    Attributes:
        home: where it is read, `file:function`.
        form: how a person writes such data.
        needs: what has to stand behind the colon, with an example; "" where nothing has to.
    """

    home: str
    form: str
    needs: str = ""

    def gather(self, rest: str, **how: bool) -> Gathered:
        """Read what `rest` names, which stands behind the colon; a table without its labels with `labelled=False`.

        Raises:
            InputError: there is nothing, or what is wrong with it.
        """
        if self.needs and not rest:
            raise InputError(f"{self.form.partition(':')[0]}: needs {self.needs}.")
        return cast("Gathered", resolve_name(f"{__name__}.{self.home}")(rest, **how))


SOURCES = {
    "embedded": Source("shipped:gather_shipped", "embedded[:NAME or :OP+OP]"),
    "folder": Source("folder:gather_folder", "folder:PATH", "a path, for example folder:pictures/animals"),
    "csv": Source("table:gather_csv", "csv:PATH", "a path, for example csv:pictures/labels.csv"),
    "parquet": Source("hub:gather_parquet", "parquet:PATH", "a path, for example parquet:pictures/train.parquet"),
    "hf": Source(
        "hub:gather_hf",
        "hf:NAME[:CONFIG]",
        "the name of a data set on the Hugging Face hub, for example hf:tanganke/dtd",
    ),
    "python": Source(
        "own:gather_own", "python:MODULE:FUNCTION[:REST]", "a function of your own, for example python:mine:gather"
    ),
}
"""What stands before the first colon of a spec → what reads the rest; the names of `REGISTRY` come on top."""

FORMS = ", ".join(source.form for source in SOURCES.values())
"""All of them, as messages list them."""
