"""transcribe.py MODEL RECORDING [LANGUAGE]: prints what is said, segment by segment while it works, with the times."""
import sys

import libmm


def clock(seconds):
    return "%02d:%05.2f" % divmod(seconds, 60)


def main(model, recording, language=None):
    with libmm.load(model) as m, m.transcribe(recording, language=language) as heard:
        for segment in heard:
            print("%s - %s  %s" % (clock(segment.start), clock(segment.end), segment.text.strip()), flush=True)
        if heard.detected:
            print("language: %s (%.0f %%)" % (heard.detected.code, 100 * heard.detected.probability))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print("usage:", __doc__)
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except libmm.Error as e:
        sys.exit("transcribe: %s" % e)
    except KeyboardInterrupt:
        sys.exit(130)
