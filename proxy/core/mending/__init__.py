"""What would mend a request: proposed by one module for each kind of mistake, decided in one place.

Law: a remedy that claims to be *the* mending yields the request that was meant when it is obeyed; where several
fit, all are named and none is preferred; where none does, nothing is said. Runs only once something is wrong.
"""
