"""One file for each trained model: config, data, model, loss, evaluation."""
