"""Readers of data: folders, tables, the Hugging Face hub, the pictures that ship with IPO, and functions of the user.

To add a source, add a file here and an entry in `SOURCES`. The file has a function that takes the text behind the colon
of a spec and returns a `Gathered`. The file is imported when such data are first read.
"""

from pkgutil import resolve_name
from typing import NamedTuple, cast

from ipo_prompts.experiments.data.assemble import Gathered
from ipo_prompts.metrics.errors import InputError


class Source(NamedTuple):
    """A kind of data.

    Attributes:
        home: the function that reads such data, as `file:function`.
        form: the form of a spec, as a user types it.
        needs: words for the text that must stand behind the colon, with an example; "" if the text may be missing.
    """

    home: str
    form: str
    needs: str = ""

    def gather(self, rest: str) -> Gathered:
        """Read the data that are named by `rest`, the text behind the colon.

        Raises:
            InputError: `rest` is empty although the source needs it, or something is wrong with the data.
        """
        if self.needs and not rest:
            raise InputError(f"{self.form.partition(':')[0]}: needs {self.needs}.")
        return cast("Gathered", resolve_name(f"{__name__}.{self.home}")(rest))


TABLE = "table:PATH"
"""The form of a table's spec. `csv:` and `parquet:` are older forms that say how a file with any ending is written."""

SOURCES = {
    "embedded": Source("shipped:gather_shipped", "embedded[:NAME or :OP+OP]"),
    "folder": Source("folder:gather_folder", "folder:PATH", "a path, for example folder:pictures/animals"),
    "table": Source("table:gather_table", TABLE, "a path, for example table:pictures/labels.csv"),
    "csv": Source("table:gather_csv", TABLE, "a path, for example csv:pictures/labels.csv"),
    "parquet": Source("hub:gather_parquet", TABLE, "a path, for example parquet:pictures/train.parquet"),
    "hf": Source(
        "hub:gather_hf",
        "hf:NAME[:CONFIG]",
        "the name of a data set on the Hugging Face hub, for example hf:tanganke/dtd",
    ),
    "python": Source(
        "own:gather_own", "python:MODULE:FUNCTION[:REST]", "a function of your own, for example python:mine:gather"
    ),
}
"""The text before the first colon of a spec → the source that reads the rest. Specs may also begin with the name of a
registered data set, see `REGISTRY`."""

FORMS = ", ".join(dict.fromkeys(source.form for source in SOURCES.values()))
"""The forms of all specs, as messages list them."""
