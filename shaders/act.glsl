// The activations of op.h, in F32. `kind` is an mm__act.

// Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7; for z < 0 by symmetry.
float erfc_of(float z)
{
    float a = abs(z), t = 1.0 / (1.0 + 0.3275911 * a);
    float y = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * exp(-a * a);
    return z < 0.0 ? 2.0 - y : y;
}

// Without the overflow of exp(2x), and with the digits of small x.
float tanh_of(float x)
{
    float a = abs(x), e = exp(-2.0 * a), x2 = x * x;
    return a < 0.05 ? x * (1.0 - x2 * (1.0 / 3.0 - x2 * (2.0 / 15.0))) : sign(x) * (1.0 - e) / (1.0 + e);
}

float sigmoid(float x) { return x < 0.0 ? exp(x) / (1.0 + exp(x)) : 1.0 / (1.0 + exp(-x)); }

float activate(uint kind, float x)
{
    switch (kind) {
    case 1: return max(x, 0.0);
    case 2: return 0.5 * x * erfc_of(-x * 0.70710678);
    case 3: return 0.5 * x * (1.0 + tanh_of(0.79788456 * (x + 0.044715 * x * x * x)));
    case 4: return x * sigmoid(1.702 * x);
    case 5: return x * sigmoid(x);
    case 6: return tanh_of(x);
    case 7: return sigmoid(x);
    default: return x;
    }
}
