"""A small open-vocabulary recogniser in seven languages, trained from nothing."""
