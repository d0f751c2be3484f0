"""The generative head: a language model that writes the target text of a task."""
