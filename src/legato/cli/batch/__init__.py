"""Many files in one run: the plan, the journal of results, and the executors."""
