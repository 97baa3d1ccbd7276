"""What is compiled for a stranger is compiled closed in.

Guarantee, with all layers in force: a compiler reads its own files and one scratch directory,
writes that directory only, has no network, no way to other processes, an environment and three
descriptors of ours, and ends with whoever started it. Price: some 3 ms a compile. Scope: Linux; no
root, no program and no setting of the system is needed. Each layer is tried at start, what is
missing is said, and where there is none hipopt refuses unless told otherwise.
"""
