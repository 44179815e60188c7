"""What is done with a sample of live traffic: requests recorded as TF Serving's warm-up files, answers looked at.

Law: nothing here is on the path of a request unless one of the two is on; then the path costs one random number per
call and, for a call that is chosen, a reference to the messages it holds anyway. Files are written, and answers
read, by a thread of its own. What is recorded holds tensor values: off by default, files for the owner only, never served.
"""
