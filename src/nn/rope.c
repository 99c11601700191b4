/* Rotary position embedding (Su et al. 2021). Frequency j of r/2 rotates one pair of columns by pos * inv_freq[j]; every
 * scaling rule changes only this table (and, for some, the magnitude of cosine and sine), so it is computed once when a
 * part is made. Tables are computed in double and rounded once, except where a file brings factors in F32. */
#include "nn.h"
#include <math.h>

void mm__rope_freqs(float *inv_freq, int32_t n_rot, double base)
{
    for (int32_t j = 0; j < n_rot / 2; j++) inv_freq[j] = (float)pow(base, -2.0 * j / n_rot);
}

void mm__rope_scale_linear(float *inv_freq, int32_t n_rot, double factor)
{
    for (int32_t j = 0; j < n_rot / 2; j++) inv_freq[j] = (float)(inv_freq[j] / factor);
}

void mm__rope_scale_llama3(float *inv_freq, int32_t n_rot, double factor, double low, double high, double orig_ctx)
{
    for (int32_t j = 0; j < n_rot / 2; j++) {
        double theta = inv_freq[j];
        double wavelength = 2.0 * 3.14159265358979323846 / theta;
        if (wavelength < orig_ctx / high) continue;
        if (wavelength > orig_ctx / low) {
            inv_freq[j] = (float)(theta / factor);
        } else {
            double s = (orig_ctx / wavelength - low) / (high - low);
            inv_freq[j] = (float)((1.0 - s) * theta / factor + s * theta);
        }
    }
}

/* The (fractional) frequency that turns `turns` times within ctx positions. */
static double yarn_index(double turns, int32_t n_rot, double base, double ctx)
{
    return n_rot * log(ctx / (turns * 2.0 * 3.14159265358979323846)) / (2.0 * log(base));
}

void mm__rope_scale_yarn(float *inv_freq, int32_t n_rot, double base, double factor, double orig_ctx, double fast, double slow,
                         bool whole)
{
    double low = yarn_index(fast, n_rot, base, orig_ctx), high = yarn_index(slow, n_rot, base, orig_ctx);
    if (whole) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, n_rot - 1);
    if (low == high) high += 0.001;
    for (int32_t j = 0; j < n_rot / 2; j++) {
        const double ramp = fmin(fmax((j - low) / (high - low), 0.0), 1.0);
        inv_freq[j] = (float)(inv_freq[j] * (ramp / factor + 1.0 - ramp));
    }
}

void mm__rope_scale_each(float *inv_freq, int32_t n_rot, const float *factors)
{
    for (int32_t j = 0; j < n_rot / 2; j++) inv_freq[j] /= factors[j];
}

mm__node *mm__rope_fwd(mm__graph *g, const mm__rope *r, mm__node *x, mm__node *pos)
{
    if (!r->inv_freq) return x;
    return mm__rotate(g, x, pos, mm__tensor_node(g, r->inv_freq), r->interleaved, r->scale);
}
