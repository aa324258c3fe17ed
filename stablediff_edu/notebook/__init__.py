"""What notebooks show beside figures: training progress, flashcards, exercises."""
