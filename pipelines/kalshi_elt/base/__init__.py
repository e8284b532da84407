"""What knows nothing of the domain: errors, paths, texts, times, iterables."""
