"""A server of several processes: each has the model and an engine, and a parent accepts their connections.

Python runs one thread of a process at a time, so with a small model one process leaves cores idle. The parent accepts
every connection and hands it to the process with the fewest, replaces a process that dies, and ends all in good order.
The limits hold for the whole, through the tally (see `serve.tally`).
"""
