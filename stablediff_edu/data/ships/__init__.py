"""Ships: CIFAR-10 or synthetic (chapter 4)."""
