"""A guest book: one page, one form, entries kept in memory."""
