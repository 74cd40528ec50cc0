"""The search through all compositions of a template, the most promising first."""
