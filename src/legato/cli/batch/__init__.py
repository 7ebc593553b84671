"""Folders and many files: the plan of a run, the journal of results, and the run that writes and summarizes them."""
