"""How rows become the vector of a text, and what the side files of a sentence-transformers folder say about it.

Usage: embed.py MM FOLDER SCRATCH. The expected vectors are the poolings' formulas over the rows that the reference recorded
for this checkpoint, so nothing here rests on our own arithmetic.
"""
import json
import math
import os
import shutil
import struct
import subprocess
import sys

MM, MODEL, SCRATCH = sys.argv[1:4]
SIDE = ('config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json')
# Eight ids, the two around the text included, and the same text with more behind it.
SHORT, LONG = 'The licensor grants you', 'The licensor grants you a copy of the program, free of charge.'


def verdict(name, problem):
    print(f'FAIL {name}: {problem}' if problem else f'ok {name}')


def folder(name, **files):
    """A copy of the model with other or more side files (text or JSON; "__" in a key stands for a slash)."""
    path = os.path.join(SCRATCH, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    os.symlink(os.path.abspath(os.path.join(MODEL, 'model.safetensors')), os.path.join(path, 'model.safetensors'))
    for side in SIDE:
        shutil.copy(os.path.join(MODEL, side), path)
    for key, content in files.items():
        file = os.path.join(path, key.replace('__', '/') + '.json')
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, 'w', encoding='utf-8') as f:
            json.dump(content, f)
    return path


def embed(path, text):
    run = subprocess.run([MM, 'embed', path, '--text', text, '--json', '--precision', 'exact'], capture_output=True, text=True)
    if run.returncode:
        return run.returncode, run.stderr
    return 0, json.loads(run.stdout.splitlines()[0])['values']


def distance(a, b):
    """The largest difference; infinite where one of them is an error's text."""
    return max(abs(x - y) for x, y in zip(a, b)) if isinstance(a, list) and isinstance(b, list) and len(a) == len(b) else math.inf


def same(name, got, want, limit=1e-5):
    status, values = got
    verdict(name, values if status else '' if distance(values, want) < limit else f'{distance(values, want)} away')


def refuses(name, got, status, *words):
    missing = [w for w in words if w not in str(got[1])]
    verdict(name, f'status {got[0]}, not {status}: {got[1]}' if got[0] != status else f'no {missing} in: {got[1]}' if missing else '')


def recorded_rows(case):
    with open(os.path.join(MODEL, 'expected.safetensors'), 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
        entry = header[case + '/out.last_hidden_state']
        begin, end = entry['data_offsets']
        f.seek(f.tell() + begin)
        values = struct.unpack(f'<{(end - begin) // 4}f', f.read(end - begin))
    d = entry['shape'][-1]
    return [values[i:i + d] for i in range(0, len(values), d)]


def unit(v):
    norm = math.sqrt(sum(x * x for x in v))
    return [x / norm for x in v]


ROWS = recorded_rows('text0')
COLUMNS = list(zip(*ROWS))
T = len(ROWS)
POOLED = {
    'cls_token': list(ROWS[0]),
    'max_tokens': [max(c) for c in COLUMNS],
    'mean_tokens': [sum(c) / T for c in COLUMNS],
    'mean_sqrt_len_tokens': [sum(c) / math.sqrt(T) for c in COLUMNS],
    'weightedmean_tokens': [sum((i + 1) * x for i, x in enumerate(c)) / (T * (T + 1) / 2) for c in COLUMNS],
    'lasttoken': list(ROWS[-1]),
}


def switches(*on):
    return {'word_embedding_dimension': len(COLUMNS), **{'pooling_mode_' + k: k in on for k in POOLED}}


def poolings():
    for mode, want in POOLED.items():
        same(f'pooling {mode}', embed(folder('m', **{'1_Pooling__config': switches(mode)}), LONG), unit(want))
    for modes in (('max_tokens', 'cls_token'), ('mean_tokens', 'mean_sqrt_len_tokens', 'max_tokens'), tuple(POOLED)):
        want = unit([x for k in POOLED if k in modes for x in POOLED[k]])
        same('poolings ' + ' and '.join(modes), embed(folder('m', **{'1_Pooling__config': switches(*modes)}), LONG), want)
    config = {'pooling_mode_cls_token': True, 'pooling_mode_mean_tokens': False}
    same('a switch that is left out is off', embed(folder('m', **{'1_Pooling__config': config}), LONG), unit(POOLED['cls_token']))
    same('... but the mean is on', embed(folder('m', **{'1_Pooling__config': {'pooling_mode_cls_token': True}}), LONG),
         unit(POOLED['cls_token'] + POOLED['mean_tokens']))
    config = {'pooling_mode': 'lasttoken', **switches('mean_tokens')}
    same('a named pooling goes before the switches', embed(folder('m', **{'1_Pooling__config': config}), LONG), unit(POOLED['lasttoken']))
    same('no pooling file: the mean', embed(folder('m'), LONG), unit(POOLED['mean_tokens']))

    refuses('all poolings off', embed(folder('m', **{'1_Pooling__config': switches()}), LONG), 4, '1_Pooling/config.json', 'pooling_mode_mean_tokens')
    config = {**switches('mean_tokens'), 'pooling_mode_median': True}
    refuses('an unknown pooling', embed(folder('m', **{'1_Pooling__config': config}), LONG), 3, '1_Pooling/config.json', 'pooling_mode_median', 'weightedmean')
    refuses('an unknown named pooling', embed(folder('m', **{'1_Pooling__config': {'pooling_mode': 'median'}}), LONG), 3, '1_Pooling/config.json', 'median', 'lasttoken')


def steps():
    def module(kind, path):
        return {'type': 'sentence_transformers.models.' + kind, 'path': path}
    usual = [module('Transformer', ''), module('Pooling', 'pool'), module('Normalize', '2_Normalize')]
    path = folder('m', modules=usual, pool__config=switches('max_tokens'), **{'1_Pooling__config': switches('cls_token')})
    same("modules.json says where the pooling's file is", embed(path, LONG), unit(POOLED['max_tokens']))
    refuses('a step we do not compute', embed(folder('m', modules=usual + [module('Dense', '3_Dense')]), LONG), 3, 'modules.json', 'models.Dense')
    for bad in ('/etc', '../m', 'a/../../m'):
        usual[1]['path'] = bad
        refuses(f'a step whose folder is {bad}', embed(folder('m', modules=usual), LONG), 4, bad, 'relative path')


def limits():
    status, short = embed(MODEL, SHORT)
    verdict('the short text', '' if status == 0 and distance(short, embed(MODEL, LONG)[1]) > 1e-3 else 'is like the long one')
    same('max_seq_length cuts the text', embed(folder('m', sentence_bert_config={'max_seq_length': 8}), LONG), short)
    config = {**json.load(open(os.path.join(MODEL, 'tokenizer_config.json'))), 'model_max_length': 8}
    same("... without it the tokenizer's model_max_length", embed(folder('m', tokenizer_config=config), LONG), short)
    path = folder('m', tokenizer_config=config, sentence_bert_config={'max_seq_length': None})
    same('... as where it is null', embed(path, LONG), short)
    path = folder('m', tokenizer_config=config, sentence_bert_config={'max_seq_length': 64})
    same('max_seq_length goes before model_max_length', embed(path, LONG), unit(POOLED['mean_tokens']))
    path = folder('m', tokenizer_config={**config, 'model_max_length': int(1e30)}, sentence_bert_config={'max_seq_length': 10 ** 6})
    verdict('neither goes past the positions of the model', '' if embed(path, 'word ' * 300)[0] == 0 else embed(path, 'word ' * 300)[1])
    for bad, words in ((2, '3 or more'), (-5, 'max_seq_length'), ('eight', 'whole number')):
        refuses(f'max_seq_length {bad}', embed(folder('m', sentence_bert_config={'max_seq_length': bad}), LONG), 4, 'sentence_bert_config.json', words)

    cased = json.load(open(os.path.join(MODEL, 'tokenizer.json')))
    cased['normalizer']['lowercase'] = False
    loud, quiet = 'THE LICENSOR ÜBER', 'the licensor über'
    want = embed(folder('m', tokenizer=cased), quiet)[1]
    verdict('a tokenizer that keeps the case', '' if distance(embed(folder('m', tokenizer=cased), loud)[1], want) > 1e-3 else 'does not')
    same('do_lower_case puts the text into lower case', embed(folder('m', tokenizer=cased, sentence_bert_config={'do_lower_case': True}), loud), want)


def gguf_with(value):
    """The GGUF twin with one more key; a second one fills up to 64 bytes, so that nothing behind loses its alignment."""
    data = open(os.path.join(MODEL, 'model-f32.gguf'), 'rb').read()
    extra = b''
    for key, number in ((b'bert.pooling_type', value), (b'general.padding', 0)):
        extra += struct.pack('<Q', len(key)) + key + struct.pack('<II', 4, number)
    count = struct.unpack_from('<Q', data, 16)[0]
    path = os.path.join(SCRATCH, 'pooling.gguf')
    with open(path, 'wb') as f:
        f.write(data[:16] + struct.pack('<Q', count + 2) + extra + data[24:])
    return path


def gguf():
    for value, mode in ((1, 'mean_tokens'), (2, 'cls_token'), (3, 'lasttoken')):
        same(f'gguf pooling_type {value}', embed(gguf_with(value), LONG), unit(POOLED[mode]))
    for value in (0, 4, 77):
        refuses(f'gguf pooling_type {value}', embed(gguf_with(value), LONG), 3, 'pooling.gguf', f'bert.pooling_type {value}', 'mean')


poolings()
steps()
limits()
gguf()
