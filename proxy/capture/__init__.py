"""Recording live requests in the format of TF Serving's warm-up files.

Law: nothing here is on the path of a request unless capture is on; then the path costs one random number per
call and, for a call that is chosen, a reference to the message it holds anyway. Files are written by a thread
of its own. What is recorded holds tensor values: off by default, files for the owner only, never served.
"""
