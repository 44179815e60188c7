"""Faults of configurations and exports, found offline: `tfs-proxy lint`.

Law: reads files and never asks a server; no TensorFlow runtime. A finding says where, what is wrong and what to do.
What can only be known by running a model is not guessed at.
"""
