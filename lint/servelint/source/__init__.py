"""Text to nodes with exact spans, and edits back into text."""
