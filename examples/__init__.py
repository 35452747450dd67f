"""Examples of a user's own classes, outside the package: a task, a reward and a file of two strategies.

They are chosen by `examples.FILE:Class` in a checkout, and by `FILE:Class` if the file is in the current folder.
"""
