"""Examples of classes that a user may write outside the package: a task, a reward, and two strategies in one file.

In a checkout, a user selects such a class by `examples.FILE:Class`; if the file is in the current folder, by
`FILE:Class`.
"""
