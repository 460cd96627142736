#!/usr/bin/env python3
"""The public surface: every public name, its purpose in a line, and who uses it besides its own room.

    python tools/names.py            the table
    python tools/names.py --unused   only names that no other room, notebook, tool or benchmark uses
    python tools/names.py --walk     also public methods of public classes
"""
import ast, re, sys
from pathlib import Path
from house import exporting, notebooks, code_cells

root = Path(__file__).resolve().parent.parent

def purpose(o):
    "First line of the docstring of a definition"
    doc = ast.get_docstring(o) if isinstance(o, (ast.FunctionDef, ast.ClassDef)) else None
    return (doc or '').split('\n')[0]

def public(tree):
    "(name, purpose, node) of what a module gives to others"
    listed = next(([e.value for e in o.value.elts] for o in tree.body if isinstance(o, ast.Assign) and getattr(o.targets[0], 'id', '')=='__all__'), [])
    defs = {o.name:o for o in tree.body if isinstance(o, (ast.FunctionDef, ast.ClassDef))}
    for n in listed: yield n, purpose(defs.get(n)) or ('constant' if n not in defs else ''), defs.get(n)

def methods(cls, tree):
    "Public methods of a class, its own and patched ones"
    own = [o for o in cls.body if isinstance(o, ast.FunctionDef)]
    patched = [o for o in tree.body if isinstance(o, ast.FunctionDef) and o.args.args and getattr(o.args.args[0].annotation, 'id', '')==cls.name
        and any('patch' in ast.unparse(d) for d in o.decorator_list)]
    return [(f'{cls.name}.{o.name}', purpose(o)) for o in own+patched if not o.name.startswith('_')]

def users(texts, mod, name): return [m for m,t in texts.items() if m!=mod and re.search(rf'\b{name}\b', t)]

if __name__=='__main__':
    mods = {mod:(root/'zoofast'/(mod.replace('.', '/')+'.py')).read_text(encoding='utf-8') for _,mod,_ in exporting(root)}
    lessons = {f.stem:'\n'.join(c.body for c in code_cells(f)) for f in notebooks(root)}
    own = {mod:f.stem for f,mod,_ in exporting(root)}
    tools = {f.name:f.read_text(encoding='utf-8') for d in ('tools','benchmarks') for f in (root/d).glob('*.py')}
    total = 0
    for mod,src in mods.items():
        if mod=='all': continue
        tree = ast.parse(src)
        for n,why,node in public(tree):
            rooms = [m for m in users(mods, mod, n) if m!='all']
            other = [m for m in users(lessons | tools, own[mod], n) if m not in [own[r] for r in rooms]]
            in_all = bool(re.search(rf'\b{n}\b', mods.get('all', '')))
            total += 1
            if '--unused' in sys.argv and (rooms or other or in_all): continue
            print(f"{mod:18} {n:20} {why[:70]:70} {len(rooms)} rooms, {len(other)} others{', all' if in_all else ''}")
            if '--walk' in sys.argv and isinstance(node, ast.ClassDef):
                for m,w in methods(node, tree): print(f"{'':18}   {m:26} {w[:70]}"); total += 1
    print(f'{total} public names')
