"""Where independent jobs are done: in this process, in a pool of processes, or on Ray."""
