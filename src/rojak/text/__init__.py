"""Text: the normaliser, the units that are counted, the language of each word, discourse particles. No torch here."""
