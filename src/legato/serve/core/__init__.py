"""What all protocols share: admission, sessions, files, uploads and the orderly end."""
