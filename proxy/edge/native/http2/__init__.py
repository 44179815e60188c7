"""
HTTP/2 (RFC 9113) without I/O: bytes in, callbacks out; commands in, bytes out.

Law: nothing in here opens a socket, starts a task, reads a clock or logs. Time is handed in (`now`, seconds
of any monotonic clock) and only bounds rates. A peer's mistake never raises out of `receive`: it ends in a
stream error or in a connection error with the code that RFC 9113 names.

A connection has parts, each of which owns its state and is given the parts that it uses. They use only what stands
above them (an import contract holds them to it), so this is also the order in which to read:

- `frames` (the numbers), `errors`, `fields` (what a header section may say), `limits` (what a peer may cost);
- `compression` (HPACK), `stream` (one stream's state), `pacing` (turns of resets), `budgets` (who is charged);
- `handler` (who is told), `output` (what is to be written), `table` (who is there);
- `flow_control` (the windows, both ways), `go_away` (who takes no more streams), `handshake` (what comes first);
- `drain`, `closing` (how streams end);
- `sender` (frames out, streams taking turns), `arrivals` (DATA on its way to the sinks);
- `faults` (what becomes of mistakes);
- `headers`, `control`, `data` (one reader each for header blocks, steering frames and odd DATA);
- `receiver` (octets in, the frame loop);
- `connection` (the two roles: the door).
"""
