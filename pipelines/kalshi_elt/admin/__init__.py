"""Looking after a warehouse: status, backup, prune, replay, grants, distribute."""
