"""Client code for a live signature, in several languages.

Law: a signature in, text out. `request.py` decides what is sent, one module per language says it in that
language; none of them does I/O or knows gRPC, so a language is a `render(ExampleRequest) -> str`.
"""
