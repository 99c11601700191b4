#!/usr/bin/env python3
"""Checks the house rules of tests/layers.txt on the real sources: includes, names of models, calls past the base.

Usage: layers.py [root of the tree] [rules]. Every violation is one line "file:line: what"; the exit status is 1 if there
is any, 2 if the rules themselves are broken. Comments do not count; strings only where names of models are looked for.
"""
import os
import re
import sys

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
PART = re.compile(r'\bMM__(?:PART|ASSEMBLY)\((\w+)')
PARTS = ('encoder', 'bridge', 'decoder', 'generator', 'assembly')


class Rules:
    def __init__(self, path):
        self.rooms, self.words = {}, {}
        for number, line in enumerate(open(path, encoding='utf-8'), 1):
            line = line.split('#')[0].strip()
            if not line:
                continue
            kind, rest = line.split(None, 1)
            if kind == 'room' and ':' in rest:
                name, allowed = rest.split(':', 1)
                self.rooms[name.strip()] = allowed.split()
            elif kind in ('except', 'spells'):
                place, *words = rest.split()
                self.words.setdefault(f'{kind} {place}', set()).update(words)
            elif kind in ('everywhere', 'ordinary', 'shared', 'libc-free', 'forbidden'):
                self.words.setdefault(kind, set()).update(rest.split())
            else:
                self.broken(path, number, line)

    @staticmethod
    def broken(path, number, line):
        print(f'{path}:{number}: not a rule: {line}')
        sys.exit(2)

    def get(self, kind):
        return self.words.get(kind, set())

    def room_of(self, path):
        """The longest room name that is a folder of `path` (relative to src/, or starting with examples/)."""
        folder = os.path.dirname(path)
        while folder and folder not in self.rooms:
            folder = os.path.dirname(folder)
        return folder or None

    def may_include(self, room, target):
        allowed = self.rooms[room]
        return target in allowed or self.room_of(target) in [room, *allowed]


def blank(match):
    """Replaces a comment or the inside of a literal by blanks, keeping the lines."""
    text = match.group(0)
    if text[0] in '"\'':
        return text[0] + ' ' * (len(text) - 2) + text[0]
    return re.sub(r'[^\n]', ' ', text)


def without_comments(text):
    return TOKEN.sub(lambda m: m.group(0) if m.group(0)[0] in '"\'' else blank(m), text)


def line_of(text, at):
    return text.count('\n', 0, at) + 1


def check_includes(rules, root, path, room, text, report):
    here = os.path.dirname(path)
    for m in INCLUDE.finditer(without_comments(text)):
        quoted, name = m.group(1) == '"', m.group(2)
        if not quoted:
            continue
        line = line_of(text, m.start())
        target = os.path.normpath(os.path.join(here, name))
        if room == 'examples' and name in ('libmm.h', 'libmm_experimental.h'):
            continue
        if not os.path.exists(os.path.join(root, target)):
            report(line, f'includes "{name}", which does not exist beside it (write the path relative to this file)')
            continue
        inside = target[len('src/'):] if target.startswith('src/') else target
        if inside in rules.get('everywhere') or rules.may_include(room, inside):
            continue
        report(line, f'room {room} may not include {inside}')


def check_words(rules, names, inside, room, text, report):
    code = TOKEN.sub(blank, text)
    exempt = any(inside == x or inside.startswith(x + '/') for x in rules.get('libc-free'))
    if room != 'examples' and not exempt:
        calls = '|'.join(sorted(map(re.escape, rules.get('forbidden'))))
        for m in re.finditer(rf'(?<![\w.])(?<!->)({calls})\s*\(', code):
            report(line_of(code, m.start()), f'calls {m.group(1)}(): use the base instead (src/base)')
    wanted = names - rules.get('ordinary') - rules.get('except ' + room)
    if room in rules.get('shared') and wanted:
        code = INCLUDE.sub(lambda m: ' ' * len(m.group(0)), code)
        for m in re.finditer(rf'\b({"|".join(sorted(wanted))})\b', code):
            report(line_of(code, m.start()), f'shared room {room} names the model "{m.group(1)}"')


def check_strings(rules, names, inside, room, text, report):
    """A family's name at the start of a word ("CLIPImageProcessor", "llama3", "clip.vision"), in either case."""
    wanted = families(names - rules.get('ordinary')) - rules.get('spells ' + inside)
    if room not in rules.get('shared') or not wanted:
        return
    name = re.compile('|'.join(rf'(?<![A-Za-z0-9]){w}|(?=[A-Z])(?i:{w})' for w in sorted(wanted, key=len, reverse=True)))
    code = INCLUDE.sub(lambda m: ' ' * len(m.group(0)), without_comments(text))
    for literal in TOKEN.finditer(code):
        for m in name.finditer(literal.group(0)):
            report(line_of(code, literal.start()), f'shared room {room} names the model "{m.group(0)}" in a string')


def families(names):
    """Names without the side of the model and the number of the version: clip_text -> clip, blip2_vision -> blip, t5 -> t5."""
    bare = (re.sub('_(vision|text)$', '', name) for name in names)
    return {re.sub('[0-9]+$', '', name) if len(name) > 3 else name for name in bare}


def part_names(root):
    names = set()
    for room in PARTS:
        path = os.path.join(root, 'src', room, 'registry.def')
        if os.path.exists(path):
            names.update(PART.findall(without_comments(open(path, encoding='utf-8').read())))
    return names


def sources(root):
    for top in ('src', 'examples'):
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(('.c', '.h', '.def', '.inc')):
                    yield os.path.relpath(os.path.join(folder, name), root)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
    rules = Rules(sys.argv[2] if len(sys.argv) > 2 else os.path.join(root, 'tests', 'layers.txt'))
    names, n_files, n_bad = part_names(root), 0, 0

    for path in sources(root):
        def report(line, what):
            nonlocal n_bad
            n_bad += 1
            print(f'{path}:{line}: {what}')

        n_files += 1
        inside = path[len('src/'):] if path.startswith('src/') else path
        room = rules.room_of(inside)
        text = open(os.path.join(root, path), encoding='utf-8', errors='replace').read()
        if room is None:
            report(1, 'lies in no room of tests/layers.txt')
            continue
        check_includes(rules, root, path, room, text, report)
        check_words(rules, names, inside, room, text, report)
        check_strings(rules, names, inside, room, text, report)
    print(f'{"FAIL" if n_bad or not n_files else "ok"} layers: {n_files} files, {n_bad} violations')
    return 1 if n_bad else 0


if __name__ == '__main__':
    sys.exit(main())
