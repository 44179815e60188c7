"""
HTTP/2 (RFC 9113) without I/O: bytes in, callbacks out; commands in, bytes out.

Law: nothing in here opens a socket, starts a task, reads a clock or logs. Time is handed in (`now`, seconds
of any monotonic clock) and only bounds rates. A peer's mistake never raises out of `receive`: it ends in a
stream error or in a connection error with the code that RFC 9113 names.

Reading order: `frames` (the numbers), `fields` (what a header section may say), `compression` (HPACK),
`limits` (what a peer may cost), `stream`, `outbound` (what we send), `faults` (what becomes of mistakes),
`control`, `blocks` and `inbound` (what we receive), `connection` (the two roles: the door).
"""
