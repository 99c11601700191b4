"""The README kept true. Every `console` block that follows <!-- test --> is run: its lines after "$ " are shell commands
that must end with 0 and print the lines below them ("..." stands for any lines); <!-- test: models --> is left out where
models/ is not there. Its C program is examples/caption.c, its Python program runs without NumPy, its Go lines print the answer
and nothing else, its tables name golden folders and make targets that exist, and links lead to files."""
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile

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


def prints(name, pattern, command, **environment):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=dict(os.environ, **environment))
    matches = not done.returncode and re.fullmatch(pattern, done.stdout)
    verdict(name, "" if matches else "status %d, printed %r\n%s" % (done.returncode, done.stdout, done.stderr.strip()[-400:]))


GO = """package main
import ("context"; "fmt"; "os"; "libmm")
func readme(ctx context.Context) error {
%s}
func main() {
    if err := readme(context.Background()); err != nil {
        fmt.Fprintln(os.Stderr, err)
        os.Exit(1)
    }
}
"""


def run_bindings(text):
    """With the library of the tree, as they are."""
    program = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    said = r"A sailboat\.\n([\d.]+ [\d.]+ .*\n)+0\.\d+\n"
    prints("its Python program, without NumPy", said, [sys.executable, "-c", "import sys; sys.modules['numpy'] = None\n" + program], PYTHONPATH="bindings/python")
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if not go:
        print("     readme: its Go lines are left out, there is no Go")
        return
    lines = re.search(r"```go\n(.*?)```", text, re.S).group(1)
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/main.go", "w") as to:
            to.write(GO % lines)
        with open(folder + "/go.mod", "w") as to:
            to.write("module readme\ngo 1.19\nrequire libmm v0.2.0\nreplace libmm => %s/bindings/go\n" % ROOT)
        build = subprocess.run([go, "build", "-tags", "libmm_tree", "-o", "readme"], cwd=folder, capture_output=True, text=True,
                               env=dict(os.environ, GOFLAGS="-mod=mod", GOPROXY="off", GOTOOLCHAIN="local"))
        verdict("its Go lines compile", build.stderr)
        if not build.returncode:
            prints("... and print the answer", r"A sailboat\.", [folder + "/readme"])


text = open("README.md").read()
for needs, block in re.findall(r"<!-- test(: models)? -->\n+```console\n(.*?)```", text, re.S):
    if needs and not os.path.exists("models/SHA256SUMS"):
        print("     readme: left out, models/ is not there: " + block.split("\n")[0])
        continue
    run_block(block)

if os.path.exists("models/SHA256SUMS") and not os.environ.get("SAN"):
    run_bindings(text)
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
