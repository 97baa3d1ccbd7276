"""Where candidates come from: the prompt, the model's client, and the reading of its replies."""
