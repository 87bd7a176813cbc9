"""Fixes: proposals verified by linting the result, and applying them."""
