"""What runs a graph: front end, encoder, prediction net and joint, voice activity detector."""
