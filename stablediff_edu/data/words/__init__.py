"""Text for word vectors: text8 or synthetic (chapter 6)."""
