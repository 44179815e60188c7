"""`serve --workers N`: a supervisor, and N processes that each run the one Proxy there is.

Law: nothing here judges, relays or counts a call. A worker is what `proxy.app` runs, with its place, its part of the
limits and an admin port of its own on a private socket; the supervisor starts workers, asks them and speaks for them.
What is made of their answers (`merging`, `joining`) is pure, and so are `parts` (of limits) and `restarts` (when). `count` is
how many there are; `channel` and `state` are what the two sides tell one another; `worker` and `telling` are the
worker's side, `process`, `post`, `pages` and `supervisor` the other.
"""
