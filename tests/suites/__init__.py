"""Public test suites of others, run against cno. Nothing of them is kept here."""
