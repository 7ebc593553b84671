"""From tokens to text, words, sentences, subtitles and result formats."""
