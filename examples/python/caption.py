"""caption.py MODEL PICTURE [QUESTION]: describes a picture, word by word while the model writes."""
import sys

import libmm


def main(model, picture, question="What is in the picture?"):
    with libmm.load(model) as m:
        for piece in m.chat(question, images=picture, max_tokens=100):
            print(piece, end="", flush=True)
        print()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print("usage:", __doc__)
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except libmm.Error as e:
        sys.exit("caption: %s" % e)
