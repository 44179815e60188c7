"""The demonstration: real requests to a real model server, directly and through the proxy.

Law: it is a client like any other. It starts processes, sends bytes and shows what came back; no answer is
written here. `requests` (what is sent) → `processes` (who answers) → `comparison` (sent twice, answers kept);
`cli/demo.py` shows them.
"""
