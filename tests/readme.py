"""The README kept true. Every `console` block that follows <!-- test --> is run: its lines after "$ " are shell commands
that must end with 0 and print the lines below them ("..." stands for any lines); <!-- test: models --> is left out where
models/ is not there. Its C program is examples/caption.c, its tables name golden folders and make targets that exist, and
links lead to files."""
import difflib
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(ROOT)
bad = 0


def verdict(name, problem):
    global bad
    print(("FAIL readme: %s\n%s" % (name, problem)) if problem else "ok readme: %s" % name, flush=True)
    bad += bool(problem)


def lines_match(want, got):
    pattern = "".join("(?:.*\n)*?" if line.strip() == "..." else re.escape(line) + "\n" for line in want)
    return re.fullmatch(pattern, "".join(line + "\n" for line in got))


def run_block(block):
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        lines = part.rstrip("\n").split("\n")
        command = lines.pop(0)
        while command.endswith("\\"):
            command = command[:-1] + lines.pop(0).strip()
        build = os.environ.get("BUILD", "build")
        environment = dict(os.environ, PATH=os.path.join(ROOT, build) + ":" + os.environ["PATH"])
        done = subprocess.run(["bash", "-c", re.sub(r"^build/", build + "/", command)], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
        got = done.stdout.rstrip("\n").split("\n") if done.stdout.strip() else []
        problem = ""
        if done.returncode:
            problem = "status %d: %s" % (done.returncode, done.stderr.strip()[:400])
        elif not lines_match(lines, got):
            problem = "\n".join(difflib.unified_diff(lines, got, "README", "printed", lineterm=""))
        verdict(command[:90], problem)


text = open("README.md").read()
for needs, block in re.findall(r"<!-- test(: models)? -->\n+```console\n(.*?)```", text, re.S):
    if needs and not os.path.exists("models/SHA256SUMS"):
        print("     readme: left out, models/ is not there: " + block.split("\n")[0])
        continue
    run_block(block)

program = re.search(r"```c\n(.*?)```", text, re.S).group(1)
source = open("examples/caption.c").read()
verdict("its C program is examples/caption.c", "" if source.endswith(program) else "they differ")
lines = len(program.splitlines())
verdict("which has 30 lines", "" if lines <= 30 else "it has %d" % lines)
folders = {name for name in re.findall(r"`golden/(\w+)`", text)}
missing = [name for name in folders if not os.path.exists("tests/golden/%s/expected.json" % name)]
verdict("its golden folders exist", ", ".join(missing))
unnamed = [n for n in os.listdir("tests/golden") if os.path.exists("tests/golden/%s/expected.json" % n) and n not in folders]
verdict("every golden folder is in its table", ", ".join(sorted(unnamed)))
targets = set(re.findall(r"^#: make (\w[\w-]*)", open("Makefile").read(), re.M))
blocks = re.findall(r"```\n(.*?)```", text, re.S) + re.findall(r"`(make [^`]*)`", text)
used = {target for block in blocks for target in re.findall(r"^make ([a-z][a-z-]*)", block, re.M)}
verdict("the make targets it names exist", ", ".join(sorted(used - targets)))
broken = [path for path in re.findall(r"\]\(([^)#:]+)\)", text) if not os.path.exists(path)]
verdict("its links lead to files", ", ".join(broken))
sys.exit(bad > 0)
