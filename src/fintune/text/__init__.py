"""Text itself: alignment, tags, literals, words and their shapes."""
