"""The web page with live captions and files."""
