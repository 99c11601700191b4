"""peer_onnx.py KIND WIDTH LAYERS HEADS FFN SIZE PATCH THREADS FOLDER: ONNX Runtime on an encoder of a given shape.

KIND vit: SIZE pixels in patches of PATCH. KIND whisper: SIZE positions after the second convolution (PATCH is ignored).
Builds the graph with random weights as exporters write it (LayerNormalization, MatMul, Softmax, Erf), also quantised dynamically to INT8 by its
own tool, keeps both files in FOLDER, prints "ready", and for each line on standard input runs each once and prints one JSON object of
milliseconds. Needs onnx, onnxruntime, numpy."""
import json
import os
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

rng = np.random.default_rng(1)


class Graph:
    def __init__(self):
        self.nodes, self.weights, self.count = [], [], 0

    def constant(self, value):
        name = "c%d" % len(self.weights)
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def noise(self, *shape):
        return self.constant((rng.standard_normal(shape, dtype=np.float32) * 0.02).astype(np.float32))

    def add(self, op, *inputs, **attributes):
        self.count += 1
        out = "x%d" % self.count
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def linear(self, x, n_in, n_out):
        return self.add("Add", self.add("MatMul", x, self.noise(n_in, n_out)), self.constant(np.zeros(n_out, np.float32)))

    def norm(self, x, width):
        ones, zeros = self.constant(np.ones(width, np.float32)), self.constant(np.zeros(width, np.float32))
        return self.add("LayerNormalization", x, ones, zeros, axis=-1, epsilon=1e-5)

    def gelu(self, x):
        erf = self.add("Erf", self.add("Div", x, self.constant(np.float32(np.sqrt(2)))))
        return self.add("Mul", self.add("Mul", x, self.add("Add", erf, self.constant(np.float32(1)))), self.constant(np.float32(0.5)))

    def heads(self, x, heads, size, order):
        shape = self.constant(np.array([1, -1, heads, size], np.int64))
        return self.add("Transpose", self.add("Reshape", x, shape), perm=order)

    def block(self, x, width, heads, ffn):
        size = width // heads
        y = self.norm(x, width)
        q = self.heads(self.linear(y, width, width), heads, size, [0, 2, 1, 3])
        k = self.heads(self.linear(y, width, width), heads, size, [0, 2, 3, 1])
        v = self.heads(self.linear(y, width, width), heads, size, [0, 2, 1, 3])
        scores = self.add("Softmax", self.add("Mul", self.add("MatMul", q, k), self.constant(np.float32(size ** -0.5))), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", scores, v), perm=[0, 2, 1, 3])
        flat = self.add("Reshape", mixed, self.constant(np.array([1, -1, width], np.int64)))
        x = self.add("Add", x, self.linear(flat, width, width))
        y = self.gelu(self.linear(self.norm(x, width), width, ffn))
        return self.add("Add", x, self.linear(y, ffn, width))


def build(kind, width, layers, heads, ffn, size, patch):
    g = Graph()
    if kind == "vit":
        shape, rows = [1, 3, size, size], (size // patch) ** 2
        x = g.add("Conv", "in", g.noise(width, 3, patch, patch), kernel_shape=[patch, patch], strides=[patch, patch])
        x = g.add("Transpose", g.add("Reshape", x, g.constant(np.array([1, width, rows], np.int64))), perm=[0, 2, 1])
        x = g.add("Concat", g.noise(1, 1, width), x, axis=1)
        rows += 1
    else:
        shape, rows = [1, 80, 2 * size], size
        x = g.gelu(g.add("Conv", "in", g.noise(width, 80, 3), kernel_shape=[3], pads=[1, 1]))
        x = g.gelu(g.add("Conv", x, g.noise(width, width, 3), kernel_shape=[3], pads=[1, 1], strides=[2]))
        x = g.add("Transpose", x, perm=[0, 2, 1])
    x = g.add("Add", x, g.noise(1, rows, width))
    for _ in range(layers):
        x = g.block(x, width, heads, ffn)
    x = g.norm(x, width)
    graph = helper.make_graph(g.nodes, "encoder", [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, rows, width])], g.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), shape


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main():
    kind, folder = sys.argv[1], sys.argv[9]
    width, layers, heads, ffn, size, patch, threads = map(int, sys.argv[2:9])
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, "-".join(sys.argv[1:8]))
    model, shape = build(kind, width, layers, heads, ffn, size, patch)
    files = {"f32_ms": stem + ".onnx", "int8_ms": stem + "-int8.onnx"}
    if not os.path.exists(files["f32_ms"]):
        onnx.save(model, files["f32_ms"])
    if not os.path.exists(files["int8_ms"]):
        quantize_dynamic(files["f32_ms"], files["int8_ms"], weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
    sessions = {key: session(path, threads) for key, path in files.items()}
    x = rng.standard_normal(shape, dtype=np.float32)
    for s in sessions.values():
        s.run(None, {"in": x})
    print("ready", flush=True)
    for _ in sys.stdin:
        took = {}
        for key, s in sessions.items():
            start = time.perf_counter()
            s.run(None, {"in": x})
            took[key] = 1e3 * (time.perf_counter() - start)
        print(json.dumps(took), flush=True)


main()
