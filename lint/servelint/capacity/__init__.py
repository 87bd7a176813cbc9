"""Memory, time and throughput of a pool: the engines' documented arithmetic, with intervals."""
