#!/usr/bin/env python3
"""The rules of the house, each a function that returns a list of failures.

    python tools/house.py             check this checkout; last line: N passed, N failed
    python tools/house.py --selftest  show that each rule can fail: a small house is built, then spoiled once for each rule
"""
import ast, builtins, configparser, difflib, json, re, subprocess, symtable, sys, tempfile, tokenize, tomllib
from io import StringIO
from pathlib import Path

# The rooms, in order. A module may import only from rooms before its own, and inside its room only from notebooks that sort before it.
# Rooms are folders of nbs/; the notebooks at the top belong to the ground (00-09), the spine (10-39) or the doors (40-99) by their number.
rooms = 'ground data models train spine beyond science scale doors'.split()
torch_free = 'core locks targets preds data.items data.splits data.synth data.store data.stream data.resample data.resident data.views data.moments data.textures data.features data.policies data.lineages data.taxonomy data.trees data.listed data.public data.columns data.archives data.download data.catalogue published data.bins data.ifcb data.class_scores data.sources data.grow data.remote scale.job scale.bulk scale.collect scale.actors predicting growing data.tsv data.bundle data.ecocheck data.ecotaxa exchange descent plan train.ranks train.spec train.recipes outputs scale.cluster scale.queue scale.planning clustered science.confusion science.plots science.intervals science.panels science.parts science.pages science.report science.paths science.levels science.flow science.risk sets thresholds science.quantify science.abundance science.protocol science.promises science.taxa science.dwc science.novelty science.active science.unseen science.groups science.journal science.relabel science.grid amounts careful'.split()
dists = dict(PIL='pillow', yaml='pyyaml', sklearn='scikit-learn')   # packages that are imported under another name
brought = dict(huggingface_hub='timm', cycler='matplotlib', llvmlite='numba')              # packages that a requirement cannot do without
in_notebooks = {'IPython'}                                                # there wherever it is asked for; only inside functions
directives = 'default_exp export exporti exports hide hide_input hide_output eval'.split()   # and the test flags of pyproject.toml
max_cell,max_module,max_width = 45,250,160         # lines, lines, columns
max_source,max_lesson = 100,600      # KB: a notebook that exports; index and tutorials
machine = re.compile(r'''(?<![\w.~*])/(?:root|home/\w|Users/\w|work|farm|tmp/(?:tmp|ipykernel)|mnt/\w|scratch)[/\w]''')   # absolute paths of somebody's machine

# ---------------------------------------------------------------------------------------------- reading notebooks

class Cell:
    "A code cell: its leading directives, and the rest"
    def __init__(self, d, i):
        self.i,self.src,self.outputs = i,''.join(d['source']),d.get('outputs', [])
        lines = self.src.splitlines()
        n = next((k for k,l in enumerate(lines) if l.strip() and not re.match(r'\s*#\s*\||\s*%%\w', l)), len(lines))
        self.head,self.body = lines[:n],'\n'.join(lines[n:])
        self.dirs = dict(m.groups() for l in self.head if (m := re.match(r'\s*#\s*\|\s*([^\s:]+)\s*:?\s*(.*?)\s*$', l)))
        self.exported = bool({'export', 'exports', 'exporti'} & set(self.dirs))
        self.nlines = len(self.src.splitlines())-len(self.dirs)
    def tree(self): return ast.parse(re.sub(r'^(\s*)[%!].*$', r'\1pass', self.body, flags=re.M))
    def only_imports(self): return all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in self.tree().body)

def notebooks(root): return sorted(o for o in (root/'nbs').rglob('*.ipynb') if not any(p.startswith(('.', '_')) for p in o.relative_to(root).parts))
def code_cells(f): return [Cell(c, i) for i,c in enumerate(json.loads(f.read_text(encoding='utf-8'))['cells']) if c['cell_type']=='code']
def exporting(root):
    "(path, module, cells) of each notebook with a `default_exp`"
    for f in notebooks(root):
        try: cells = code_cells(f)
        except (ValueError, KeyError): continue   # reported by `valid`
        if mod := next((c.dirs['default_exp'] for c in cells if 'default_exp' in c.dirs), None): yield f,mod,cells

def name(root, f): return f.relative_to(root).as_posix()

# ---------------------------------------------------------------------------------------------- the rules

def valid(root):
    "notebooks are valid JSON with cells, and store no error"
    bad = []
    for f in notebooks(root):
        try: cells = code_cells(f)
        except (ValueError, KeyError, TypeError) as e: bad.append(f'{name(root, f)}: {type(e).__name__} {e}'); continue
        bad += [f'{name(root, f)} cell {c.i}: stored error {o.get("ename")}' for c in cells for o in c.outputs if o.get('output_type')=='error']
    return bad

def known_directives(root):
    "directives are on the first lines of their cell, and on the list"
    flags = tomllib.loads((root/'pyproject.toml').read_text()).get('tool', {}).get('nbdev', {}).get('tst_flags', 'notest').split()
    known,bad = directives+flags,[]
    for f in notebooks(root):
        try: cells = code_cells(f)
        except (ValueError, KeyError): continue
        for c in cells:
            where = f'{name(root, f)} cell {c.i}'
            bad += [f"{where}: unknown directive '{o}'{''.join(f', not {n!r}?' for n in difflib.get_close_matches(o, known, 1))}" for o in c.dirs if o not in known]
            bad += [f'{where}: misplaced directive: {o}' for o in comments(c.body) if re.match(r'#\s*\|\s*\w', o)]
    return bad

def comments(src):
    "The comments in `src`, not what looks like one inside a string"
    try: return [t.string for t in tokenize.generate_tokens(StringIO(src).readline) if t.type==tokenize.COMMENT]
    except (tokenize.TokenError, SyntaxError, IndentationError): return [l.strip() for l in src.splitlines() if l.strip().startswith('#')]

def mirrored(root):
    "nbs/data/03_store.ipynb makes zoofast/data/store.py, and every module has its notebook"
    bad,made = [],{}
    for f,mod,_ in exporting(root):
        want = '.'.join([*f.relative_to(root/'nbs').parts[:-1], re.sub(r'^\d+[a-z]?_', '', f.stem)])
        if mod!=want: bad.append(f'{name(root, f)} exports {mod}, its name says {want}')
        if mod in made: bad.append(f'{name(root, f)} exports {mod}, and so does {made[mod]}')
        made[mod] = name(root, f)
        if not (root/'zoofast'/(mod.replace('.', '/')+'.py')).exists(): bad.append(f'{name(root, f)}: zoofast/{mod.replace(".", "/")}.py is missing, run nbdev_export')
    for f in (root/'zoofast').rglob('*.py'):
        mod = '.'.join(f.relative_to(root/'zoofast').with_suffix('').parts)
        if f.stem not in ('__init__', '_modidx') and mod not in made: bad.append(f'{name(root, f)} has no notebook: delete it')
    return bad

def place(root, f):
    "Where a notebook stands in the order of rooms: comparable"
    folder,num = f.relative_to(root/'nbs').parts[0],re.match(r'\d+', f.stem)
    if f.parent==root/'nbs' and num: folder = 'ground' if int(num[0])<10 else 'spine' if int(num[0])<40 else 'doors'
    return rooms.index(folder) if folder in rooms else -1, f.stem

def imported(tree, mods):
    "The modules of zoofast that `tree` imports anywhere, as dotted names without 'zoofast.'"
    for o in ast.walk(tree):
        if isinstance(o, ast.Import): full = [a.name for a in o.names]
        elif isinstance(o, ast.ImportFrom) and o.level==0: full = [o.module, *[f'{o.module}.{a.name}' for a in o.names]]
        else: continue
        yield from [n[8:] for n in full if n.startswith('zoofast.') and (n[8:] in mods or isinstance(o, ast.Import) or n==o.module and n[8:] not in folders(mods))]

def folders(mods): return {m.rsplit('.', 1)[0] for m in mods if '.' in m}

def layered(root):
    "exported code imports only from rooms further up"
    at,bad = {mod:place(root, f) for f,mod,_ in exporting(root)},[]
    for f,mod,cells in exporting(root):
        if at[mod][0]<0: bad.append(f'{name(root, f)} is in no room; they are listed in tools/house.py'); continue
        for c in cells:
            for o in imported(c.tree(), at) if c.exported else ():
                if o not in at: bad.append(f'{name(root, f)} cell {c.i}: {mod} imports {o}, which no notebook exports')
                elif at[o]>=at[mod]: bad.append(f'{name(root, f)} cell {c.i}: {mod} imports {o}, which is not further up')
    return bad

def short(root):
    "exported cells and modules stay short enough to read"
    bad = []
    for f,mod,cells in exporting(root):
        out = [c for c in cells if c.exported]
        bad += [f'{name(root, f)} cell {c.i}: {c.nlines} exported lines' for c in out if c.nlines>max_cell]
        bad += [f'{name(root, f)} cell {c.i}: a line of {len(l)} columns' for c in out for l in c.src.splitlines() if len(l)>max_width and mod!='all']
        if (n := sum(c.nlines for c in out))>max_module: bad.append(f'{name(root, f)}: {n} exported lines; a room this large wants a wall')
    return bad

def light(root):
    "files stay small, notebooks that export smaller still, and weights stay out"
    source,bad = {f for f,*_ in exporting(root)},[]
    for f in tracked(root):
        kb,most = f.stat().st_size/1000,max_source if f in source else max_lesson
        if kb>most: bad.append(f'{name(root, f)}: {kb:.0f} KB, at most {most}')
        if f.suffix in ('.safetensors', '.pth', '.pkl', '.pt', '.onnx'): bad.append(f'{name(root, f)}: weights do not belong in the repository')
    return bad

def tracked(root):
    r = subprocess.run(['git', 'ls-files', '-z'], cwd=root, capture_output=True, text=True)
    files = r.stdout.split('\0')[:-1] if not r.returncode else [o.relative_to(root) for o in root.rglob('*') if '.git' not in o.parts]
    return [root/o for o in files if (root/o).is_file()]

def no_machine_paths(root):
    "no file names a path of somebody's machine"
    bad = []
    for f in tracked(root):
        try: lines = f.read_text(encoding='utf-8').splitlines()
        except UnicodeDecodeError: continue
        bad += [f'{name(root, f)}:{i}: {l.strip()[max(0, m.start()-30):m.end()+40]}' for i,l in enumerate(lines, 1) if (m := machine.search(l.strip()))]
    return bad

def used(root):
    "exported code uses what it imports"
    bad = []
    for f,mod,cells in exporting(root):
        trees = [(c, c.tree()) for c in cells if c.exported and mod!='all']
        seen = {o.id for _,t in trees for o in ast.walk(t) if isinstance(o, ast.Name)}
        passed_on = [o.value.elts for _,t in trees for o in ast.walk(t) if isinstance(o, ast.Assign) and getattr(o.targets[0], 'id', '')=='_all_']
        seen |= {e.value for o in passed_on for e in o}
        for c,t in trees:
            for o in ast.walk(t):
                names = [a.asname or a.name for a in o.names] if isinstance(o, (ast.Import, ast.ImportFrom)) else []   # `import a.b` loads b; its name is a's
                bad += [f'{name(root, f)} cell {c.i}: imports {n} and does not use it' for n in names if n not in seen|{'*'} and '.' not in n]
    return bad

def defined(root):
    "exported code uses no name that only the rest of its notebook gives: it would pass its tests there, and fail in the module"
    bad = []
    for f,mod,cells in exporting(root):
        trees = [c.tree() for c in cells if c.exported]
        if any(isinstance(o, ast.ImportFrom) and o.names[0].name=='*' for t in trees for o in ast.walk(t)): continue
        top = symtable.symtable('\n'.join(map(ast.unparse, trees)), mod, 'exec')
        def scopes(t): return [t, *(o for c in t.get_children() for o in scopes(c))]
        every = [(t, s) for t in scopes(top) for s in t.get_symbols()]
        given = {s.get_name() for t,s in every if (t is top or s.is_declared_global()) and (s.is_assigned() or s.is_imported())} | {*dir(builtins), '__file__', '__class__'}
        asked = dict.fromkeys(s.get_name() for t,s in every if s.is_referenced() and (t is top or s.is_global() and not s.is_local()))
        bad += [f'{name(root, f)}: nothing exported gives {o}' for o in asked if o not in given]
    return bad

def declared(root):
    "every package that exported code imports is in settings.ini, as a requirement or in an extra"
    ini = configparser.ConfigParser(delimiters=['='], interpolation=None)
    ini.read(root/'settings.ini', encoding='utf-8')
    known = {re.match(r'[\w.-]+', o)[0].lower() for k,v in ini['DEFAULT'].items() if k.endswith('requirements') for o in v.split()}
    bad = {}
    for f,mod,cells in exporting(root):
        for o,top in [(o, o in t.body) for t in (c.tree() for c in cells if c.exported) for o in ast.walk(t)]:
            names = [a.name for a in o.names] if isinstance(o, ast.Import) else [o.module] if isinstance(o, ast.ImportFrom) and not o.level else []
            for n in {n.split('.')[0] for n in names}-sys.stdlib_module_names-{'zoofast'}:
                if brought.get(n, dists.get(n, n)).lower() not in known and (top or n not in in_notebooks): bad.setdefault(n, name(root, f))
    return [f'{f} imports {n}, which settings.ini does not name' for n,f in bad.items()]

def no_torch(root):
    "the lower rooms import without torch"
    there = [o for o in torch_free if (root/'zoofast'/(o.replace('.', '/')+'.py')).exists()]
    code = f'import sys; sys.path.insert(0, {str(root)!r}); import {", ".join("zoofast."+o for o in there)}; print("torch" in sys.modules)'
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    return [] if r.stdout.strip()=='False' else [r.stderr.strip().splitlines()[-1] if r.returncode else f'torch was imported by one of {", ".join(there)}']

rules = [valid, known_directives, mirrored, layered, short, light, no_machine_paths, used, defined, declared, no_torch]

def check(root, only=rules, show=print):
    failed = 0
    for rule in only:
        bad = rule(root)
        failed += bool(bad)
        show(f"{'FAIL' if bad else 'ok  '} {rule.__name__}")
        for o in bad[:20]: show(f'     {o}')
        if len(bad)>20: show(f'     and {len(bad)-20} more')
    show(f'{len(only)-failed} passed, {failed} failed')
    return failed

# ---------------------------------------------------------------------------------------------- can each rule fail?

def code(src, **kw): return dict(cell_type='code', source=src, outputs=[], metadata={}, execution_count=None, **kw)
def write_nb(root, path, *cells):
    f = root/'nbs'/path
    f.parent.mkdir(parents=True, exist_ok=True)
    f.write_text(json.dumps(dict(cells=list(cells), metadata={}, nbformat=4, nbformat_minor=5)))

def good_house(root):
    (root/'pyproject.toml').write_text('[tool.nbdev]\ntst_flags = "notest slow"\n')
    (root/'settings.ini').write_text('[DEFAULT]\nrequirements = pillow>=10\nextra_requirements = pyyaml\n')
    for o in ('__init__', 'core', 'preds', 'data/items', 'models/nets'):
        (root/'zoofast'/o).parent.mkdir(exist_ok=True)
        (root/'zoofast'/f'{o}.py').write_text('')
    write_nb(root, '00_core.ipynb', code('#| default_exp core'), code('#| export\ndef f(): return 1'), code('#| slow\n"""\n#| export is no directive here"""'))
    write_nb(root, '01_preds.ipynb', code('#| default_exp preds'), code('#| export\nfrom zoofast import __version__\nfrom zoofast.core import f\nf(__version__)'), code('#| hide\nimport zoofast.preds'))
    write_nb(root, 'data/01_items.ipynb', code('#| default_exp data.items'), code('#| export\nimport json, yaml\nfrom PIL import Image\njson, yaml, Image'))
    write_nb(root, 'models/01_nets.ipynb', code('#| default_exp models.nets'), code('#| export\nfrom zoofast.data import items\nimport zoofast.data.items\nfrom zoofast.data.items import *\nitems, zoofast'))
    write_nb(root, 'index.ipynb', code('f()'))

spoilers = {   # rule -> ways to break it, each a function of the root
    valid: [lambda r: (r/'nbs'/'x.ipynb').write_text('{"cells":'), lambda r: (r/'nbs'/'x.ipynb').write_text('{}'),
            lambda r: write_nb(r, 'x.ipynb', code('1/0') | dict(outputs=[dict(output_type='error', ename='ZeroDivisionError')]))],
    known_directives: [lambda r: write_nb(r, 'x.ipynb', code('#| exprot\n1')), lambda r: write_nb(r, 'x.ipynb', code('#| cuda\n1')),
            lambda r: write_nb(r, 'x.ipynb', code('x = 1\n#| hide\n2'))],
    mirrored: [lambda r: (r/'zoofast'/'old.py').write_text(''), lambda r: (r/'zoofast'/'core.py').unlink(), lambda r: write_nb(r, '02_other.ipynb', code('#| default_exp core'))],
    layered: [lambda r: write_nb(r, '00_core.ipynb', code('#| default_exp core'), code(f'#| export\n{o}')) for o in
              ('from zoofast.preds import *', 'def f():\n    import zoofast.preds', 'from zoofast import preds', 'import zoofast.core', 'import zoofast.nowhere', 'from zoofast.nowhere import x')]
             + [lambda r: write_nb(r, 'attic/02_new.ipynb', code('#| default_exp attic.new')),
                lambda r: write_nb(r, 'data/02_new.ipynb', code('#| default_exp data.new'), code('#| export\nfrom zoofast.all import x')) or write_nb(r, '41_all.ipynb', code('#| default_exp all')),
                lambda r: write_nb(r, 'models/01_a.ipynb', code('#| default_exp models.a')) or write_nb(r, 'data/02_b.ipynb', code('#| default_exp data.b'), code('#| export\nfrom zoofast.models import a'))],
    short: [lambda r: write_nb(r, '00_core.ipynb', code('#| default_exp core'), code('#| export\n'+'x = 1\n'*46)),
            lambda r: write_nb(r, '00_core.ipynb', code('#| default_exp core'), *[code('#| export\n'+'x = 1\n'*40)]*8),
            lambda r: write_nb(r, '00_core.ipynb', code('#| default_exp core'), code('#| export\nx = "'+'y'*160+'"'))],
    used: [lambda r: write_nb(r, '00_core.ipynb', code('#| default_exp core'), code(f'#| export\n{o}')) for o in ('import json', 'from json import dumps as d', 'def f():\n    import json')],
    defined: [lambda r: write_nb(r, '00_core.ipynb', code('#| default_exp core'), code(f'#| export\n{o}'), code('#| hide\nimport json')) for o in
              ('json.dumps(1)', 'def f():\n    return json.dumps(1)', 'def f(a:json): pass', 'class A:\n    def g(self): return [json for _ in self]')],
    light: [lambda r: write_nb(r, '00_core.ipynb', code('#| default_exp core\n#'+'x'*120_000)), lambda r: write_nb(r, 'index.ipynb', code('#'+'x'*700_000)),
            lambda r: (r/'model.safetensors').write_text('')],
    no_machine_paths: [lambda r, o=o: (r/'README.md').write_text(f'see {o} there') for o in ('/ho'+'me/ann/x', '/ro'+'ot/x', '/wo'+'rk/x', '/tm'+'p/tmpq3/x', '"/Us'+'ers/ann"')],
    declared: [lambda r: (r/'settings.ini').write_text('[DEFAULT]\nrequirements = pillow\n'),
            lambda r: write_nb(r, '00_core.ipynb', code('#| default_exp core'), code('#| export\ndef f():\n    from surely.missing import x'))],
    no_torch: [lambda r: ((r/'torch.py').write_text(''), (r/'zoofast'/'core.py').write_text('import torch')), lambda r: (r/'zoofast'/'core.py').write_text('1/0')]}

def selftest():
    failed = 0
    for rule,ways in [(None, [lambda r: None]), *spoilers.items()]:
        for i,spoil in enumerate(ways):
            with tempfile.TemporaryDirectory() as d:
                root = Path(d)
                good_house(root)
                spoil(root)
                bad = {o.__name__ for o in rules if o(root)}
            right = not bad if rule is None else rule.__name__ in bad
            failed += not right
            if not right: print(f"FAIL {'the good house' if rule is None else f'{rule.__name__}, way {i}'}: broken rules {sorted(bad)}")
    n = 1+sum(map(len, spoilers.values()))
    if set(spoilers)!=set(rules): n,failed = n+1,failed+1; print('FAIL a rule has no spoiler')
    print(f'{n-failed} passed, {failed} failed')
    return failed

if __name__=='__main__': sys.exit(bool(selftest() if '--selftest' in sys.argv else check(Path(__file__).resolve().parent.parent)))
