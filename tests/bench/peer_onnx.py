"""peer_onnx.py KIND WIDTH LAYERS HEADS FFN SIZE PATCH THREADS FOLDER: ONNX Runtime and OpenVINO on an encoder of a given shape.

KIND vit: SIZE pixels in patches of PATCH. KIND whisper: SIZE positions after the second convolution (PATCH is ignored).
Builds the graph with random weights as exporters write it (LayerNormalization, MatMul, Softmax, Erf) and keeps it in FOLDER, prints "ready", and
for each line on standard input runs it once and prints one JSON object of milliseconds. The line says how:
  f32        ONNX Runtime
  int8       ONNX Runtime, quantised dynamically by its own tool
  openvino   OpenVINO as it likes: BF16 where the processor has that
Needs onnx, onnxruntime, numpy; openvino for the last."""
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


def onnxruntime_runner(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"in": x})


def openvino_runner(path, threads):
    import openvino
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
    request = model.create_infer_request()
    return lambda x: request.infer({0: x})


def runner(how, path, threads):
    if how == "openvino":
        return openvino_runner(path, threads)
    if how == "int8":
        small = path.replace(".onnx", "-int8.onnx")
        if not os.path.exists(small):
            quantize_dynamic(path, small, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
        path = small
    return onnxruntime_runner(path, threads)


def main():
    kind, folder = sys.argv[1], sys.argv[9]
    width, layers, heads, ffn, size, patch, threads = map(int, sys.argv[2:9])
    path = os.path.join(folder, "-".join(sys.argv[1:8]) + ".onnx")
    model, shape = build(kind, width, layers, heads, ffn, size, patch)
    if not os.path.exists(path):
        onnx.save(model, path)
    x = rng.standard_normal(shape, dtype=np.float32)
    runners = {}
    print("ready", flush=True)
    for how in map(str.strip, sys.stdin):
        if how not in runners:
            runners[how] = runner(how, path, threads)
            runners[how](x)
        start = time.perf_counter()
        runners[how](x)
        print(json.dumps({"encode_ms": 1e3 * (time.perf_counter() - start)}), flush=True)


main()
