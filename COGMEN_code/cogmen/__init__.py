"""Dialogues, the COGMEN graph network and the tools that all three stages share. Importing it loads no model."""
