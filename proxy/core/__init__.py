"""Judgement: what a request is, what a signature allows, and where the two differ.

Law: standard library only; no I/O, no clock, no grpc, no protobuf, no logging.
"""
