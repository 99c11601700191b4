# Vectors of texts: poolings, limits and what is refused (embed.py).
. tests/cli/lib.sh
"${PYTHON:-python3}" tests/cli/embed.py "$MM" $G/bert "$tmp"
