"""One's own conversation: from a recording and its turns to the emotion of every turn, with reasons, in a report."""
