"""The report: a page that can be heard, seen and corrected."""
