"""A small open-vocabulary recognizer in seven languages, trained from nothing."""
