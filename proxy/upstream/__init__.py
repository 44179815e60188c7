"""gRPC goes out: channels to TF Serving, its live signatures, and the state of its models.

Law: asks the server and remembers what it said; knows no client, no verdict, no metric.
"""
