#!/usr/bin/env python3
"""Can our tests fail? Spoil one operator, constant, branch or statement of an exported cell at a time, and run the notebook that it is in.

    python tools/mutate.py                       12 mutants a room; survivors, then a table: killed, survived, equivalent
    python tools/mutate.py data.items preds      these rooms only
    python tools/mutate.py -n 30 --seed 2        other mutants, more of them
    python tools/mutate.py preds --list          only show them
    python tools/mutate.py --only data.items:12:3:if

Each room has to prove itself: only the notebook's own cells are run, with synthetic data. A mutant that cannot change what anyone sees is equivalent;
those are listed, each with its reason, in tools/equivalent.tsv. Text, f-strings, messages of errors and the looks of plots are not spoiled.
Each mutant runs in a child of a process that has the imports behind it, so most take seconds. Linux only.
"""
import argparse, ast, csv, ctypes, json, os, random, re, shutil, signal, sys, tempfile, time, tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from house import Cell, exporting

root = Path(__file__).resolve().parent.parent
swaps = {ast.Lt:'<=', ast.LtE:'<', ast.Gt:'>=', ast.GtE:'>', ast.Eq:'!=', ast.NotEq:'==', ast.Is:'is not', ast.IsNot:'is', ast.In:'not in', ast.NotIn:'in',
    ast.Add:'-', ast.Sub:'+', ast.Mult:'/', ast.Div:'*', ast.FloorDiv:'/', ast.Mod:'*', ast.Pow:'*', ast.BitAnd:'|', ast.BitOr:'&', ast.LShift:'>>',
    ast.RShift:'<<', ast.And:'or', ast.Or:'and'}
signs = {ast.Lt:'<', ast.LtE:'<=', ast.Gt:'>', ast.GtE:'>=', ast.Eq:'==', ast.NotEq:'!=', ast.Is:'is', ast.IsNot:'is not', ast.In:'in', ast.NotIn:'not in',
    ast.Add:'+', ast.Sub:'-', ast.Mult:'*', ast.Div:'/', ast.FloorDiv:'//', ast.Mod:'%', ast.Pow:'**', ast.BitAnd:'&', ast.BitOr:'|', ast.LShift:'<<',
    ast.RShift:'>>', ast.And:'and', ast.Or:'or'}
talk = {'ZooError', 'warn', 'print', 'expect_fail'}          # calls whose words nobody tests to the letter
looks = set('''figsize dpi fontsize lw linewidth ls ms markersize alpha color c fc ec pad labelpad rotation zorder height_ratios width_ratios hspace wspace aspect
    left right top bottom width height bins loc ha va s desc title xlabel ylabel'''.split())

@dataclass(frozen=True)
class Mutant:
    "One spoiled cell: `src[a:b]` (bytes) replaced by `new`"
    mod:str; cell:int; line:int; kind:str; a:int; b:int; new:str; src:str
    @property
    def id(self): return f'{self.mod}:{self.cell}:{self.line}:{self.kind}:{self.a}'
    @property
    def spoiled(self): b = self.src.encode(); return (b[:self.a]+self.new.encode()+b[self.b:]).decode()
    @property
    def lines(self):
        "The line before and after"
        b = self.src.encode(); s = b.rfind(b'\n', 0, self.a)+1; e = b.find(b'\n', self.b); e = len(b) if e<0 else e
        one = lambda o: ' '.join(o.decode().split())
        return one(b[s:e]), one(b[s:self.a]+self.new.encode()+b[self.b:e])

class Sites(ast.NodeVisitor):
    "All mutants of one cell"
    def __init__(self, mod, cell):
        self.mod,self.cell,self.src,self.out = mod,cell.i,cell.src,[]
        self.bytes = self.src.encode()
        self.starts = [0]
        for l in self.bytes.splitlines(keepends=True): self.starts.append(self.starts[-1]+len(l))
        self.visit(ast.parse(self.src))
    def a(self, o): return self.starts[o.lineno-1]+o.col_offset
    def b(self, o): return self.starts[o.end_lineno-1]+o.end_col_offset
    def text(self, o): return self.bytes[self.a(o):self.b(o)].decode()
    def add(self, kind, o, a, b, new): self.out.append(Mutant(self.mod, self.cell, o.lineno, kind, a, b, new, self.src))
    def whole(self, kind, o, new): self.add(kind, o, self.a(o), self.b(o), new)

    def sign(self, kind, o, l, op, r):
        "Swap the operator that stands between the nodes `l` and `r`"
        if type(op) not in swaps: return
        a,b,old = self.b(l),self.a(r),signs[type(op)]
        k = self.bytes[a:b].decode().find(old)
        if k>=0: self.add(kind, o, a+k, a+k+len(old), swaps[type(op)])

    def visit_Compare(self, o):
        for l,op,r in zip([o.left, *o.comparators], o.ops, o.comparators): self.sign('compare', o, l, op, r)
        self.generic_visit(o)
    def visit_BinOp(self, o):
        if not (isinstance(o.op, ast.Mod) and isinstance(o.left, ast.Constant)): self.sign('operator', o, o.left, o.op, o.right)
        self.generic_visit(o)
    def visit_BoolOp(self, o):
        for l,r in zip(o.values, o.values[1:]): self.sign('bool', o, l, o.op, r)
        self.generic_visit(o)
    def visit_UnaryOp(self, o):
        if isinstance(o.op, ast.Not): self.whole('bool', o, f'({self.text(o.operand)})')
        elif isinstance(o.op, ast.USub) and not isinstance(o.operand, ast.Constant): self.whole('operator', o, f'(+{self.text(o.operand)})')
        self.generic_visit(o)
    def visit_Constant(self, o):
        v = o.value
        if isinstance(v, bool): self.whole('constant', o, str(not v))
        elif isinstance(v, int): self.whole('constant', o, str(v+1))
        elif isinstance(v, float): self.whole('constant', o, repr(v*1.5 or 1.))
    def visit_If(self, o): self.branch(o)
    def visit_IfExp(self, o): self.branch(o)
    def branch(self, o):
        self.whole('branch', o.test, f'not ({self.text(o.test)})')
        self.generic_visit(o)
    def visit_comprehension(self, o):
        for t in o.ifs: self.whole('branch', t, f'not ({self.text(t)})')
        self.generic_visit(o)
    def visit_Return(self, o):
        if o.value and not (isinstance(o.value, ast.Constant) and o.value.value is None): self.whole('return', o, 'return None')
        self.generic_visit(o)
    def visit_Raise(self, o): self.whole('statement', o, 'pass'); self.generic_visit(o)
    def visit_AugAssign(self, o): self.whole('statement', o, 'pass'); self.generic_visit(o)
    def visit_Expr(self, o):
        if isinstance(o.value, ast.Constant): return
        f = o.value.func if isinstance(o.value, ast.Call) else None
        if f is not None and getattr(f, 'id', getattr(f, 'attr', '')) not in talk: self.whole('statement', o, 'pass')
        self.generic_visit(o)
    def visit_Call(self, o):
        if getattr(o.func, 'id', getattr(o.func, 'attr', '')) not in talk: self.generic_visit(o)
    def visit_keyword(self, o):
        if o.arg not in looks: self.visit(o.value)
    def visit_JoinedStr(self, o): pass
    def visit_Import(self, o): pass
    def visit_ImportFrom(self, o): pass
    def visit_arg(self, o): pass
    def visit_AnnAssign(self, o):
        if o.value: self.visit(o.value)
    def visit_FunctionDef(self, o):
        for c in [*o.args.defaults, *filter(None, o.args.kw_defaults), *o.body]: self.visit(c)
    def visit_Assign(self, o):
        if not any(getattr(t, 'id', '')=='__all__' for t in o.targets): self.generic_visit(o)

def parses(m):
    try: return bool(ast.parse(m.spoiled))
    except SyntaxError: return False

def sample(mod, cells, n, seed):
    "`n` mutants of one room: the kinds take turns, so that constants do not crowd out the rest"
    kinds = defaultdict(list)
    for c in cells:
        if c.exported and not c.only_imports():
            for m in Sites(mod, c).out: kinds[m.kind].append(m)
    rng = random.Random(f'{seed} {mod}')
    for k in sorted(kinds): rng.shuffle(kinds[k])
    out = []
    while len(out)<n and any(kinds.values()):
        for k in sorted(kinds):
            while kinds[k]:
                if parses(m := kinds[k].pop()): out.append(m); break
    return out[:n]

# ---------------------------------------------------------------------------------------------- running

def warm():
    "Everything that notebooks import, once, before the forks"
    import matplotlib; matplotlib.use('Agg')
    import zoofast.all, fastcore.nbio, execnb.shell, fastai.test_utils, fastcore.test, timm, sklearn.metrics, PIL.Image, matplotlib.pyplot, pandas, scipy.ndimage, numba  # noqa

def play(f, mutant, tmp):
    "Run notebook `f` with the mutant's cell: whether every cell passed"
    from fastcore.nbio import read_nb
    from execnb.shell import CaptureShell
    import numba
    flags = set(tomllib.loads((root/'pyproject.toml').read_text())['tool']['nbdev']['tst_flags'].split())
    nb = read_nb(f)
    if mutant:
        nb.cells[mutant.cell].source = mutant.spoiled
        if 'njit' in ''.join(c.source for c in nb.cells): numba.core.dispatcher.Dispatcher.enable_caching = lambda self: None   # else an old caller keeps the sound kernel
    def skip(c):
        if c.cell_type!='code': return True
        d = Cell(dict(source=c.source), 0).dirs
        return bool(flags & set(d)) or d.get('eval', '').lower()=='false'
    os.chdir(f.parent)
    k = CaptureShell(f)
    try: k.run_all(nb, exc_stop=True, preproc=skip)
    except BaseException:
        print(k.prettytb(fname=f) if hasattr(k, 'prettytb') else '', flush=True)
        return False
    return True

class Child:
    "One run in a forked process, with a folder of its own"
    def __init__(self, f, mutant, limit):
        self.mutant,self.t,self.limit = mutant,time.time(),limit
        self.tmp = tempfile.mkdtemp(prefix='mutant-')
        self.pid = os.fork()
        if self.pid: return
        rc = 1
        try:
            os.setsid(); ctypes.CDLL(None).prctl(1, signal.SIGKILL)                  # ends with its parent, however that ends
            signal.signal(signal.SIGINT, signal.default_int_handler)   # ignored where the shell started us with &
            log = os.open(self.tmp+'/log', os.O_CREAT|os.O_WRONLY)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0); os.dup2(log, 1); os.dup2(log, 2)
            os.environ.update(TMPDIR=self.tmp, IN_TEST='1'); tempfile.tempdir = self.tmp
            rc = 0 if play(f, mutant, self.tmp) else 1
        finally: os._exit(rc)
    def poll(self):
        "None while it runs; then 'survived', 'killed' or 'timeout'"
        pid,st = os.waitpid(self.pid, os.WNOHANG)
        if not pid and time.time()-self.t<self.limit: return None
        try: os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError: pass
        if not pid: os.waitpid(self.pid, 0)
        self.took = time.time()-self.t
        self.log = Path(self.tmp, 'log').read_text(errors='replace') if Path(self.tmp, 'log').exists() else ''
        shutil.rmtree(self.tmp, ignore_errors=True)
        return 'timeout' if not pid else 'survived' if os.waitstatus_to_exitcode(st)==0 else 'killed'

def run(jobs, workers):
    "Play (notebook, mutant, limit) jobs; yields each child with its fate"
    jobs,live = list(jobs)[::-1],[]
    try:
        while jobs or live:
            while jobs and len(live)<workers: live.append(Child(*jobs.pop()))
            for c in live[:]:
                if fate := c.poll(): live.remove(c); yield c, fate
            time.sleep(.05)
    finally:
        for c in live: c.limit = 0; c.poll()

def equivalent():
    "Whether a mutant is listed in tools/equivalent.tsv: by room and both lines, or, with '*' for the line before, by a pattern in the line after"
    f = root/'tools/equivalent.tsv'
    rows = list(csv.DictReader(open(f, encoding='utf-8'), delimiter='\t', quoting=csv.QUOTE_NONE)) if f.exists() else []
    known = {(r['room'], r['before'], r['after']) for r in rows}
    every = [(r['room'], re.compile(r['after'])) for r in rows if r['before']=='*']
    return lambda m: (m.mod, *m.lines) in known or any(m.mod==room and o.search(m.lines[1]) for room,o in every)

def main(a):
    same,todo,base = equivalent(),[],{}
    for f,mod,cells in exporting(root):
        if a.rooms and mod not in a.rooms or mod=='all': continue
        ms = sample(mod, cells, 10**6 if a.only else a.n, a.seed)
        ms = [m for m in ms if m.id.startswith(a.only)] if a.only else ms
        if ms: todo.append((f, mod, ms))
    if a.list:
        for _,_,ms in todo:
            for m in ms: print(f'{m.id}\n  - {m.lines[0]}\n  + {m.lines[1]}')
        return 0
    warm()
    for c,fate in run([(f, None, 300) for f,_,_ in todo], a.workers):
        base[c.t] = fate
        if fate!='survived': print(c.log[-3000:]); sys.exit('a notebook does not pass as it is: nothing can be said about its mutants')
    tally,rows = defaultdict(Counter),[]
    # the limit is generous: a mutant that only slows down must not count as killed
    jobs = [(f, m, a.limit) for f,_,ms in todo for m in ms if not same(m)]
    for _,mod,ms in todo: tally[mod]['equivalent'] += sum(map(same, ms))
    for i,(c,fate) in enumerate(run(jobs, a.workers), 1):
        m = c.mutant
        tally[m.mod][fate] += 1
        rows.append(dict(id=m.id, fate=fate, seconds=round(c.took, 1), before=m.lines[0], after=m.lines[1]))
        if fate=='survived': print(f'{i}/{len(jobs)} survived {m.id}\n  - {m.lines[0]}\n  + {m.lines[1]}', flush=True)
    if a.out: Path(a.out).write_text(json.dumps(rows, indent=1))
    print(f'{"room":20}{"killed":>8}{"survived":>10}{"equivalent":>12}')
    for mod,t in tally.items(): print(f"{mod:20}{t['killed']+t['timeout']:8}{t['survived']:10}{t['equivalent']:12}")
    k,s = (sum(t[o] for t in tally.values() for o in os_) for os_ in (('killed', 'timeout'), ('survived',)))
    print(f'{k} killed ({sum(t["timeout"] for t in tally.values())} by the clock), {s} survived: {k/max(1, k+s):.0%} (seed {a.seed})')
    return 0

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('rooms', nargs='*'); p.add_argument('-n', type=int, default=12, help='mutants a room'); p.add_argument('--seed', type=int, default=1)
    p.add_argument('--workers', type=int, default=2); p.add_argument('--limit', type=float, default=180, help='seconds before a mutant counts as killed by the clock')
    p.add_argument('--list', action='store_true'); p.add_argument('--only', default='', help='mutants whose id starts like this'); p.add_argument('--out', help='a JSON file')
    for k,v in dict(ZOOFAST_PROGRESS='0', OMP_NUM_THREADS='1', MKL_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', MPLBACKEND='Agg', WANDB_MODE='offline', WANDB_SILENT='true').items(): os.environ[k] = v
    os.environ.pop('ZOOFAST_DATA', None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(p.parse_args()))
