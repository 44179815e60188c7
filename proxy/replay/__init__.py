"""Sending recorded requests again, and comparing what two servers make of them.

Law: `records` reads, `sending` asks, `comparison` judges two answers without I/O; the command shows.
"""
