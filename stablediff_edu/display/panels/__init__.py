"""Interactive panels, one file a chapter."""
