"""Base models and the adapters on them."""
