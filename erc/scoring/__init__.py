"""Scores that can be quoted: what files of predictions say, with intervals over whole dialogues."""
