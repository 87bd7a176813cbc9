"""Parts of ``build_catalogue.py``."""
