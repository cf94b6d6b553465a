"""Utterances: KEMDy19's files, the speech and text extractor, the sample corpus. Importing it loads no model."""
