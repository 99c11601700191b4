/* preprocessor_config.json -> mm__image_policy.
 *
 * A file often states only what differs from the defaults of the Python class it names, so the classes' defaults are
 * needed; the caller has them, since classes are named after models. Suffixes "Fast" and the older "FeatureExtractor" name
 * the same class, but a switch that is null is off in the one and at its default in the "Fast" one. A class that cannot
 * crop or pad ignores what the file says about it; every "Fast" one can crop. Every number is range-checked: sizes 1..16384, finite means, standard deviations above 1e-6. */
#include "image.h"
#include "probe.h"
#include "../base/error.h"
#include <math.h>
#include <string.h>

#define MAX_STATISTIC 1e4
#define MIN_STD 1e-6

static bool same_class(const char *stated, const char *name)
{
    static const char *const suffixes[] = {"ImageProcessor", "ImageProcessorFast", "FeatureExtractor"};
    size_t n = strlen(name);
    if (strncmp(stated, name, n) != 0) return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcmp(stated + n, suffixes[i]) == 0) return true;
    return false;
}

/* Defaults of the class and what it can; false when it is not known. */
static bool from_class(const mm__image_classes *known, const char *stated, mm__image_policy *p, int *can)
{
    for (size_t i = 0; stated && i < known->n; i++) {
        const mm__image_class *c = &known->list[i];
        if (!same_class(stated, c->name)) continue;
        *p = (mm__image_policy){.fit = c->fit,
                                .width = c->size,
                                .height = c->size,
                                .shortest = c->size,
                                .resample = c->resample,
                                .crop_width = c->crop,
                                .crop_height = c->crop,
                                .rgb = c->rgb,
                                .rescale = 1.0f / 255.0f,
                                .normalize = 1};
        memcpy(p->mean, c->mean, sizeof p->mean);
        memcpy(p->std, c->std, sizeof p->std);
        *can = c->can;
        return true;
    }
    return false;
}

static bool present(const mm__json *v)
{
    return mm__json_kind(v) != MM__JSON_NULL;
}

static const char *class_of(const mm__json *doc)
{
    const char *stated = mm__json_str(mm__json_get(doc, "image_processor_type"), NULL, NULL);
    return stated ? stated : mm__json_str(mm__json_get(doc, "feature_extractor_type"), NULL, NULL);
}

static bool is_fast(const char *stated)
{
    const size_t n = stated ? strlen(stated) : 0;
    return n > 4 && strcmp(stated + n - 4, "Fast") == 0;
}

static bool read_switch(const mm__json *doc, const char *key, bool otherwise)
{
    const mm__json *v = mm__json_get(doc, key);
    const char *stated = class_of(doc);
    return v && !present(v) && stated && !is_fast(stated) ? false : mm__json_bool(v, otherwise);
}

static mm_status read_int(const mm__json *v, int32_t lo, int32_t hi, const char *what, const char *key, int32_t *out,
                          mm_error *err)
{
    int64_t n = mm__json_int(v, INT64_MIN);
    if (n < lo || n > hi) return mm__fail(err, MM_E_FORMAT, "%s: %s must be a number from %d to %d", what, key, lo, hi);
    *out = (int32_t)n;
    return MM_OK;
}

static mm_status read_edge(const mm__json *v, const char *what, const char *key, int32_t *out, mm_error *err)
{
    const uint64_t most = mm__limit_info_of(MM__LIMIT_IMAGE_SIDE)->most;
    return read_int(v, 1, most < INT32_MAX ? (int32_t)most : INT32_MAX, what, key, out, err);
}

/* {"height", "width"}, {"shortest_edge"} or one number, whose meaning is the class's. */
static mm_status read_size(const mm__json *v, const char *what, mm__image_policy *p, mm_error *err)
{
    mm_status st;
    if (mm__json_kind(v) != MM__JSON_OBJECT) {
        st = read_edge(v, what, "size", &p->shortest, err);
        if (st == MM_OK && p->fit != MM__FIT_SHORTEST) {
            p->width = p->height = p->shortest;
            p->fit = p->fit == MM__FIT_PAD_SQUARE ? p->fit : MM__FIT_EXACT;
        }
        return st;
    }
    if (present(mm__json_get(v, "longest_edge")) || present(mm__json_get(v, "max_pixels")))
        return mm__fail(err, MM_E_UNSUPPORTED, "%s: size with longest_edge or max_pixels is not supported", what);
    if (present(mm__json_get(v, "shortest_edge"))) {
        p->fit = MM__FIT_SHORTEST;
        return read_edge(mm__json_get(v, "shortest_edge"), what, "size.shortest_edge", &p->shortest, err);
    }
    if (p->fit != MM__FIT_PAD_SQUARE) p->fit = MM__FIT_EXACT;
    st = read_edge(mm__json_get(v, "height"), what, "size.height", &p->height, err);
    return st == MM_OK ? read_edge(mm__json_get(v, "width"), what, "size.width", &p->width, err) : st;
}

static mm_status read_crop(const mm__json *v, const char *what, mm__image_policy *p, mm_error *err)
{
    mm_status st;
    if (mm__json_kind(v) != MM__JSON_OBJECT) {
        st = read_edge(v, what, "crop_size", &p->crop_height, err);
        p->crop_width = p->crop_height;
        return st;
    }
    st = read_edge(mm__json_get(v, "height"), what, "crop_size.height", &p->crop_height, err);
    return st == MM_OK ? read_edge(mm__json_get(v, "width"), what, "crop_size.width", &p->crop_width, err) : st;
}

static bool in_range(double x, double min)
{
    return isfinite(x) && x >= min && x <= MAX_STATISTIC;
}

mm_status mm__image_policy_check(const mm__image_policy *p, const char *what, mm_error *err)
{
    for (int c = 0; c < 3; c++)
        if (!in_range(p->mean[c], -MAX_STATISTIC) || !in_range(p->std[c], MIN_STD))
            return mm__fail(err, MM_E_FORMAT, "%s: image_mean or image_std is out of range", what);
    return MM_OK;
}

static mm_status read_triple(const mm__json *v, double min, const char *what, const char *key, float out[3], mm_error *err)
{
    bool list = mm__json_kind(v) == MM__JSON_ARRAY;
    if (list && mm__json_count(v) != 3) return mm__fail(err, MM_E_FORMAT, "%s: %s must have three numbers", what, key);
    for (size_t i = 0; i < 3; i++) {
        double x = mm__json_num(list ? mm__json_at(v, i) : v, NAN);
        if (!in_range(x, min)) return mm__fail(err, MM_E_FORMAT, "%s: %s is out of range", what, key);
        out[i] = (float)x;
    }
    return MM_OK;
}

static mm_status read_values(const mm__json *doc, const char *what, mm__image_policy *p, mm_error *err)
{
    mm_status st = MM_OK;
    const mm__json *v;
    if (present(v = mm__json_get(doc, "image_mean"))) st = read_triple(v, -MAX_STATISTIC, what, "image_mean", p->mean, err);
    if (st == MM_OK && present(v = mm__json_get(doc, "image_std"))) st = read_triple(v, MIN_STD, what, "image_std", p->std, err);
    if (st != MM_OK) return st;
    if (present(v = mm__json_get(doc, "rescale_factor"))) {
        double x = mm__json_num(v, NAN);
        if (!(x > 0 && x <= 1e4)) return mm__fail(err, MM_E_FORMAT, "%s: rescale_factor is out of range", what);
        p->rescale = (float)x;
    }
    if (!read_switch(doc, "do_rescale", true)) p->rescale = 1.0f;
    p->normalize = read_switch(doc, "do_normalize", p->normalize);
    return MM_OK;
}

static mm_status read_geometry(const mm__json *doc, const char *what, int can, mm__image_policy *p, mm_error *err)
{
    mm_status st = MM_OK;
    const mm__json *v;
    const bool crop = (can & MM__IMAGE_CROPS) && read_switch(doc, "do_center_crop", p->crop_width > 0);
    if (present(v = mm__json_get(doc, "resample")))
        st = read_int(v, 0, MM__RESAMPLE_HAMMING, what, "resample", &p->resample, err);
    if (st == MM_OK && present(v = mm__json_get(doc, "size"))) st = read_size(v, what, p, err);
    if (st == MM_OK && present(v = mm__json_get(doc, "image_size"))) st = read_size(v, what, p, err);
    if (st == MM_OK && present(v = mm__json_get(doc, "crop_size"))) st = read_crop(v, what, p, err);
    if (st != MM_OK) return st;
    if ((can & MM__IMAGE_PADS) && read_switch(doc, "do_pad", false) && p->fit != MM__FIT_PAD_SQUARE &&
        !present(mm__json_get(doc, "pad_size"))) {
        if (p->fit == MM__FIT_SHORTEST) p->width = p->height = p->shortest;
        p->fit = MM__FIT_PAD_SQUARE;
        for (int c = 0; c < 3; c++) p->pad_color[c] = (uint8_t)fminf(fmaxf(p->mean[c] * 255.0f, 0), 255);
    }
    if (!crop)
        p->crop_width = p->crop_height = 0;
    else if (p->crop_width == 0)
        return mm__fail(err, MM_E_FORMAT, "%s: do_center_crop without crop_size", what);
    if (!read_switch(doc, "do_resize", true)) p->fit = MM__FIT_NONE;
    return MM_OK;
}

mm_status mm__image_policy_from_json(const mm__json *doc, const mm__image_classes *known, const mm__image_policy *fallback,
                                     const char *what, mm__image_policy *out, mm_error *err)
{
    if (mm__json_kind(doc) != MM__JSON_OBJECT) return mm__fail(err, MM_E_FORMAT, "%s: not a JSON object", what);
    const char *stated = class_of(doc);
    mm__image_policy p;
    int can = MM__IMAGE_CROPS | MM__IMAGE_PADS;
    if (!from_class(known, stated, &p, &can)) {
        if (!fallback || stated)
            return mm__fail(err, MM_E_UNSUPPORTED, "%s: unknown image_processor_type \"%s\"", what, stated ? stated : "(none)");
        p = *fallback;
    }
    if (is_fast(stated)) can |= MM__IMAGE_CROPS;
    mm_status st = read_values(doc, what, &p, err);
    if (st == MM_OK) st = read_geometry(doc, what, can, &p, err);
    if (st == MM_OK) *out = p;
    return st;
}
