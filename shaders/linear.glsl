// What the LINEAR shaders share: the push constants, and what happens to a sum. Bindings 0 (y), 1 (x) and 4 (w) are the
// includer's.

layout(binding = 2) readonly buffer Bias { float bias[]; };
layout(binding = 3) readonly buffer Residual { float residual[]; };
layout(push_constant) uniform P {
    uint y_off, y_stride, x_off, x_stride, bias_off, has_bias, residual_off, residual_stride, has_residual;
    uint w_off, w_stride; // bytes
    uint act, T, N, K, column; // W's first row makes this column of the result
};

// Row n of W times row t of x is `sum`.
void put(uint n, uint t, float sum)
{
    if (has_bias != 0) sum += bias[bias_off + column + n];
    float v = activate(act, sum);
    if (has_residual != 0) v += residual[residual_off + t * residual_stride + column + n];
    y[y_off + t * y_stride + column + n] = v;
}
