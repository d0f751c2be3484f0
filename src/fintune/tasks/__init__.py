"""Tasks: what is asked of a model, what it should write, how that is read, and how it is scored. Never imports torch."""
