/* Rotary frequencies under scaling, against the reference's (transformers 4.57.1, modeling_rope_utils). */
#include "../../../src/nn/nn.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define N_ROT 16

static void yarn_leaves_fast_ones_and_divides_slow_ones(void **state)
{
    static const float want[N_ROT / 2] = {1.0f, 2.3717e-01f, 5.0e-02f, 7.9057e-03f, 2.5e-03f, 7.9057e-04f, 2.5e-04f, 7.9057e-05f};
    float f[N_ROT / 2];
    (void)state;
    mm__rope_freqs(f, N_ROT, 1e4);
    mm__rope_scale_yarn(f, N_ROT, 1e4, 4.0, 64, 32, 1, true);
    for (int j = 0; j < N_ROT / 2; j++) assert_float_equal(f[j] / want[j], 1.0f, 2e-5);
}

/* A range without width is a step, not a division by zero. */
static void yarn_takes_an_empty_ramp(void **state)
{
    float f[N_ROT / 2], plain[N_ROT / 2];
    (void)state;
    mm__rope_freqs(plain, N_ROT, 1e4);
    mm__rope_freqs(f, N_ROT, 1e4);
    mm__rope_scale_yarn(f, N_ROT, 1e4, 4.0, 64, 1, 1, false); /* frequency 2.016 turns once within 64 positions */
    for (int j = 0; j < N_ROT / 2; j++) assert_float_equal(f[j], j <= 2 ? plain[j] : plain[j] / 4, 1e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(yarn_leaves_fast_ones_and_divides_slow_ones),
                                       cmocka_unit_test(yarn_takes_an_empty_ramp)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
