#!/usr/bin/env python3
"""Every message a user can read: the errors, notes and refusals in the source, one a row

    python tools/messages.py             the list, as a table in Markdown
    python tools/messages.py --check     only what is wrong with some: no remedy, no end, an option that no command has ...; last line: N messages, N faults
    python tools/messages.py --selftest  show that each rule can fail
"""
import ast, re, sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
kinds = dict(ZooError='error', Taken='error', warn='note', _err='note')   # who says it

def text(o):
    "A string as it is written: {..} stands for what is filled in; None when it is made elsewhere"
    if isinstance(o, ast.Constant): return o.value if isinstance(o.value, str) else None
    if isinstance(o, ast.JoinedStr): return ''.join(v.value if isinstance(v, ast.Constant) else f'{{{name(v.value)}}}' for v in o.values)
    if isinstance(o, ast.BinOp) and isinstance(o.op, ast.Add): return None if None in (both := (text(o.left), text(o.right))) else ''.join(both)
    if isinstance(o, ast.IfExp): return None if None in (both := (text(o.body), text(o.orelse))) else ' / '.join(filter(None, both))
    if isinstance(o, ast.BoolOp): return text(o.values[-1])

def name(o):
    "What is filled in, in a word"
    s = ast.unparse(o)
    return s if re.fullmatch(r"[\w.]{1,20}", s) else '...'

def called(o): return o.func.id if isinstance(o.func, ast.Name) else o.func.attr if isinstance(o.func, ast.Attribute) else ''

def messages(top=None):
    "(module, line, kind, what, fix) of each; what is None when it is passed on from somewhere else"
    top = Path(top or root/'zoofast')
    for f in sorted(top.rglob('*.py')):
        if f.stem in ('_modidx',): continue
        mod = f.relative_to(top).with_suffix('').as_posix().replace('/', '.')
        try: tree = ast.parse(f.read_text(encoding='utf-8'))
        except SyntaxError as e: sys.exit(f'{f}:{e.lineno}: {e.msg}')
        for o in ast.walk(tree):
            if not isinstance(o, ast.Call) or not o.args: continue
            k = called(o)
            if k not in kinds or k=='warn' and not (isinstance(o.func, ast.Attribute) and getattr(o.func.value, 'id', '')=='warnings'): continue
            fix = (text(o.args[1]) if text(o.args[1]) is not None else f'{{{name(o.args[1])}}}') if len(o.args)>1 and kinds[k]=='error' else ''
            yield mod, o.lineno, kinds[k], text(o.args[0]), fix

# ---------------------------------------------------------------------------------------------- what is wrong with a message

def ends(what, fix, kind):
    last = re.split(r'(?<=[.?!]) ', (fix or what).rstrip())[-1]
    return '' if last[-1:] in '.?!}' or re.search(r': |zoofast |--\w|\d$|\.\w{2,8}$', last) else f'ends without a full stop: {last[-30:]!r}'   # a remedy may end with a command or an example
says_itself = r'is not in |is not positive|is less than|must |needs |is not a number from|the store has|the store \{|would '   # what is wanted is in the words
def remedy(what, fix, kind): return 'no remedy' if kind=='error' and not fix.strip() and not re.search(says_itself, what) and what[:1]!='{' else ''
def machine(what, fix, kind):
    bad = re.search(r'\b(NoneType|Traceback|assert|dtype|ndarray|kwargs|__\w+__|iterable|subscriptable)\b', re.sub(r'\{.*?\}', '', what+' '+fix))
    return f'speaks of {bad[0]!r}' if bad else ''
def doubled(what, fix, kind): return 'a doubled stop or space' if re.search(r'(?<![.\d}])\.\.(?![.\d{])|\w  +\w', f'{what} {fix}'.rstrip()) else ''
def long(what, fix, kind): return f'{len(what)+len(fix)} characters' if len(what)+len(fix)>330 else ''

rules = [ends, remedy, machine, doubled, long]

def faults(found):
    for mod,line,kind,what,fix in found:
        if what is None: continue
        for r in rules:
            if why := r(what, fix, kind): yield f'{mod}:{line}: {why}: {what} {fix}'.rstrip()

def table(found):
    "The list in Markdown, a part for each module"
    esc = lambda s: ' '.join((s or '').split()).replace('|', '\\|').replace('<', '&lt;').replace('*', '\\*')
    out,last = [],None
    for mod,line,kind,what,fix in found:
        if what is None: continue
        if mod!=last: out += ['', f'**{mod}**', '', '| | what | remedy |', '|---|---|---|']; last = mod
        out.append(f'| {kind} | {esc(what)} | {esc(fix)} |')
    return '\n'.join(out[1:])

def selftest():
    bad = {ends:('It is here', '', 'note'), remedy:('The file is empty.', '', 'error'), machine:('It is a NoneType.', 'Do that.', 'error'), doubled:('This is wrong..', 'Do that.', 'error'), long:('x'*400+'.', '', 'note')}
    good = ('{path} is empty.', 'Check the path.', 'error')
    failed = [f'{r.__name__} passes {o}' for r,o in bad.items() if not r(*o)]+[f'{r.__name__} refuses {good}' for r in rules if r(*good)]+[f'{r.__name__} has no bad message' for r in rules if r not in bad]
    print(*failed, f'{len(rules)-len(failed)} passed, {len(failed)} failed', sep='\n')
    return bool(failed)

if __name__=='__main__':
    if '--selftest' in sys.argv: sys.exit(selftest())
    found = list(messages())
    if '--check' not in sys.argv: print(table(found)); sys.exit()
    bad = list(faults(found))
    print(*bad, f'{sum(o[3] is not None for o in found)} messages, {len(bad)} faults', sep='\n')
    sys.exit(bool(bad))
