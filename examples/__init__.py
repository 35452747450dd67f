"""A task, a reward and two strategies that are written as a user's own: a file each, which the package does not hold.

They are chosen by `examples.FILE:Class` in a checkout, and by `FILE:Class` where the file is in the current folder.
"""
