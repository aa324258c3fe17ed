"""The one training loop and the configs that use it."""
