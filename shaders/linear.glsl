// What the LINEAR shaders share: the push constants, and what happens to a sum. Bindings 0 (y) and 1 (x) are the includer's,
// weights.glsl has W.

layout(binding = 2) readonly buffer Bias { float bias[]; };
layout(binding = 3) readonly buffer Residual { float residual[]; };
layout(push_constant) uniform P {
    uint y_off, y_stride, x_off, x_stride, bias_off, has_bias, residual_off, residual_stride, has_residual;
    uint w_stride, w_off[3], begin[2]; // bytes; a stack of up to three weights, of which begin tells where the others begin
    uint act, T, N, K, column;         // the stack's first row makes this column of the result
    uint quads;                        // not 0 where rows of x begin at multiples of four elements, and K is one
    uint share, together;              // linear_vec's
};

// Where row n of the stack begins.
uint weight_row(uint n)
{
    if (n < begin[0]) return w_off[0] + n * w_stride;
    return n < begin[1] ? w_off[1] + (n - begin[0]) * w_stride : w_off[2] + (n - begin[1]) * w_stride;
}

// Row n of W times row t of x is `sum`.
void put(uint n, uint t, float sum)
{
    if (has_bias != 0) sum += bias[bias_off + column + n];
    float v = activate(act, sum);
    if (has_residual != 0) v += residual[residual_off + t * residual_stride + column + n];
    y[y_off + t * y_stride + column + n] = v;
}
