"""The one training loop and the recipes that use it."""
