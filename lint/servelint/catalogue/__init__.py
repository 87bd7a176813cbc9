"""Facts about models, accelerators and instance types, with their sources."""
