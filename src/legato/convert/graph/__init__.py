"""Writers of the ONNX graphs: the encoder in both layouts, the prediction net, and the joint."""
