"""The synthetic sample corpus: lines, voices, conversations and small encoders."""
