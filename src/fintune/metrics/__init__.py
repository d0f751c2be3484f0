"""Scores and how far to trust them: counts, intervals, floors and the report. Needs numpy at most, never torch."""
