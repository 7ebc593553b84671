"""Writers of the ONNX graphs: encoder in both layouts, prediction net, joint."""
