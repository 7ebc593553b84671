"""Model folders: open and check them, find them by name, download them."""
