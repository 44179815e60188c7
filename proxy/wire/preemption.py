"""
Where long readings let other threads run: the loop, while a request is read beside it.

Law: the interpreter switches threads between steps of its own, and compiled code has none. So this is never compiled:
whoever reads long calls it at each of a number of steps.
"""


def let_others_run() -> None:
    """Be a step of the interpreter, which gives way to a thread that has waited for `sys.getswitchinterval()`."""
