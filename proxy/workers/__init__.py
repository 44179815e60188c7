"""`serve --workers N`: a supervisor, and N processes that each run the one Proxy there is.

Law: nothing here judges, relays or counts a call. A worker is what `proxy.app` runs, with its place, its part of the
limits and an admin port of its own on a private socket; the supervisor starts workers, asks them and speaks for them.
What is made of their answers (`merging`, `joining`) is pure. count and parts: how many there are, and what each gets;
channel: what the two tell one another; worker, telling: the worker's side; process, post, asking, pages, supervisor:
the supervisor's.
"""
