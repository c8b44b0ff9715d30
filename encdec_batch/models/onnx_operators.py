"""What an ONNX network may be made of: the operators of encoder-decoders, and nothing that decides by itself what runs.

Left out on purpose: control flow (`If`, `Loop`, `Scan`) and what makes shapes of values (`NonZero`, `Unique`, `TopK`,
`NonMaxSuppression`), since a tile must cost what the plan says; random numbers and `Dropout`, since the same tile must
give the same bytes; strings, sequences and images in files; quantised arithmetic, whose rounding is no tolerance that
this version measures. The names are those of the ONNX standard (onnx.ai, "Operators").
"""

from __future__ import annotations

LEAST_OPSET, MOST_OPSET = 11, 25
"""From 11 on `Resize` says how coordinates are mapped; the newest is one that the tested runtime takes."""

_LAYERS = {
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool",
    "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization", "LRN",
    "MaxPool", "MaxUnpool", "Pad", "Resize", "SpaceToDepth",
}  # fmt: skip
_ACTIVATIONS = {
    "Celu", "Clip", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "Mish", "PRelu",
    "Relu", "Selu", "Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh", "ThresholdedRelu",
}  # fmt: skip
_ARITHMETIC = {
    "Abs", "Add", "And", "Ceil", "Cos", "Div", "Einsum", "Equal", "Exp", "Floor", "Gemm", "Greater", "GreaterOrEqual",
    "Less", "LessOrEqual", "Log", "MatMul", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow",
    "Reciprocal", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "Round", "Sign", "Sin", "Sqrt", "Sub", "Sum", "Where", "Xor",
}  # fmt: skip
_SHAPES = {
    "Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "Expand", "Flatten", "Gather", "GatherElements",
    "GatherND", "Identity", "Range", "Reshape", "ScatterElements", "ScatterND", "Shape", "Size", "Slice", "Split",
    "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip

OPERATORS = frozenset(_LAYERS | _ACTIVATIONS | _ARITHMETIC | _SHAPES)
