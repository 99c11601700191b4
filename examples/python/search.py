"""search.py MODEL FOLDER TEXT...: the three pictures of a folder that fit each text best, by the cosine of their vectors.

MODEL makes vectors of pictures and of texts in one space (CLIP, SigLIP). The pictures are encoded once, in batches; each text
is then compared with all of them, exactly.
"""
import heapq
import pathlib
import sys

import libmm

KINDS = (".png", ".jpg", ".jpeg", ".bmp")


def vectors_of_pictures(model, paths, batch=16):
    for i in range(0, len(paths), batch):
        yield from model.embed(paths[i:i + batch])


def cosine(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b))  # both have length 1


def main(model, folder, *texts):
    paths = sorted(p for p in pathlib.Path(folder).iterdir() if p.suffix.lower() in KINDS)
    with libmm.load(model) as m:
        pictures = list(vectors_of_pictures(m, paths))
        for text in texts:
            vector = m.embed(text)
            best = heapq.nlargest(3, zip((cosine(vector, p) for p in pictures), paths))
            print(text)
            for score, path in best:
                print("  %6.3f  %s" % (score, path.name))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        print("usage:", __doc__)
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except libmm.Error as e:
        sys.exit("search: %s" % e)
