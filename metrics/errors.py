"""The error that is meant for a person.

Everything a user can mend is raised as `InputError`: one sentence that says what was found, where, and how to mend it.
The command line prints it and ends with exit code 2. Any other exception is a bug and keeps its traceback.
"""


class InputError(ValueError):
    """Bad input or configuration; `str(error)` is one sentence for the user."""
