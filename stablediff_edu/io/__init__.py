"""Files: checkpoints, published weights, images."""
