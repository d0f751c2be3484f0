"""The bundled corpus: composed, annotated financial text, its checks and its card."""
