"""The page on the admin port: what a person opens first and stays on.

Law: every view is made of plain data, the same that /api tells, by templates that escape whatever they are given; so
one process and the supervisor of several show the same. Only `handlers` knows HTTP.
"""
